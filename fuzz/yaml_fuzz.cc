// Configurations: any bytes load or are refused with a reason, in bounded time and stack. A configuration that loads is
// printed so that it loads again as the same, and is shown without its secrets.
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/print.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// The same configuration with other secrets: the shown text must be equal.
mi::config::Loaded WithOtherSecrets(mi::config::Loaded loaded) {
  auto& config = loaded.config;
  for (std::string* secret : {&config.mysql.password, &config.redis.password, &config.identity_secret}) {
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
