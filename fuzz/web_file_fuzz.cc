// The web configuration file: any bytes are taken or refused, with a message that names the file.
#include "config/web_file.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = mi::config::ParseWebFile(text, "/nowhere/web.yml");
  if (!file && !file.error().message().starts_with("/nowhere/web.yml:")) std::abort();
  if (!file) return 0;
  const auto again = mi::config::ParseWebFile(text, "/nowhere/web.yml");
  if (again != file) std::abort();
  for (const auto& [name, hash] : file->access.users) {
    if (name.empty() || hash.size() != 60) std::abort();
  }
  for (const auto& token : file->access.tokens) {
    if (token.sha256.size() != 64 || token.grant.roles.empty() || token.grant.tenants.empty()) std::abort();
  }
  return 0;
}
