#include "app/options_check.h"

#include <string>
#include <string_view>

#include "app/web_access.h"
#include "base/format.h"
#include "net/client.h"
#include "stream/kafka/client.h"
#include "web/cors.h"

namespace mi::app {
namespace {

class Faults {
 public:
  explicit Faults(const config::Loaded& loaded) : loaded_(loaded) {}

  void Add(const std::string& path, std::string_view text) {
    const auto at = loaded_.origins.find(path);
    if (!text_.empty()) text_ += '\n';
    text_ += format("{}: {}", at == loaded_.origins.end() ? "default" : at->second, text);
  }
  Status ToStatus() const { return text_.empty() ? Status() : Fail(Errc::kInvalid, text_); }

 private:
  const config::Loaded& loaded_;
  std::string text_;
};

void CheckUrl(const std::string& path, const std::string& url, Faults& faults) {
  if (url.empty()) return;
  if (const auto parsed = net::Url::Parse(url); !parsed) {
    faults.Add(path, format("{}: {}", path, parsed.error().message()));
  }
}

}  // namespace

Status CheckOptions(const config::Loaded& loaded) {
  Faults faults(loaded);
  const config::Config& config = loaded.config;
  if (config.app.role_type != config::Role::kStandalone && config.app.role_type != config::Role::kQuery) {
    for (const auto& option : config.librdkafka) {
      const Status known = stream::CheckKafkaOptions({option});
      if (!known) faults.Add("librdkafka." + option.first, known.error().message());
    }
  }
  for (size_t i = 0; i < config.remote_write.size(); ++i) {
    CheckUrl(format("remote.write[{}].url", i), config.remote_write[i].url, faults);
  }
  CheckUrl("remote.send.url", config.remote_send.url, faults);
  if (const auto cors = web::Cors::Create(config.web.cors_origin); !cors) {
    faults.Add("web.cors_origin", format("web.cors_origin: {}", cors.error().message()));
  }
  if (const std::string& file = config.web.config_file; !file.empty()) {
    if (const Status usable = WebAccess::Check(file); !usable) {
      faults.Add("web.config_file", format("web.config_file: {}", usable.error().message()));
    }
  }
  return faults.ToStatus();
}

}  // namespace mi::app
