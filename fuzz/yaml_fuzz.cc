// Any bytes as a configuration: they load or are refused with a reason, in bounded time and stack; what loads is
// printed so that it loads to the same again, and is shown without its secrets.
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/loader.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// The same with other secrets: what is shown must not tell them apart.
mi::config::Loaded WithOtherSecrets(mi::config::Loaded loaded) {
  auto& config = loaded.config;
  for (std::string* secret : {&config.mysql.password, &config.redis.password, &config.identity.secret}) {
    if (!secret->empty()) *secret = "another";
  }
  if (config.librdkafka.contains("sasl.password")) config.librdkafka["sasl.password"] = "another";
  return loaded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto loaded = mi::config::LoadFromText(text);
  if (!loaded) {
    Check(!loaded.error().message().empty());
    return 0;
  }
  const auto again = mi::config::LoadFromText(mi::config::PrintYaml(loaded->config));
  Check(again.has_value() && again->config == loaded->config);
  Check(mi::config::PrintShow(*loaded) == mi::config::PrintShow(WithOtherSecrets(*loaded)));
  return 0;
}
