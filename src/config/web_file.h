// Reads the web configuration file: the format that all components of Prometheus share (exporter-toolkit), with our
// extensions `tokens` and `grants`. docs/security.md describes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "access/options.h"
#include "base/result.h"
#include "net/tls/options.h"

namespace mi::config {

// A value. It holds secrets: never print it.
struct WebFile {
  std::optional<net::TlsOptions> tls;
  std::vector<std::pair<std::string, std::string>> headers;  // added to every answer
  access::AccessOptions access;

  std::vector<std::string> files;     // the file itself, certificates and keys: whatever was read
  std::vector<std::string> warnings;  // one line each

  bool operator==(const WebFile&) const = default;
};

// Reads the file, and the certificates and keys that it names. Their paths are relative to its folder.
// Errors: kInvalid, with one line per fault ("web.yml:7: tls_server_config.min_version …"), all of them. No message
//         holds a secret.
Result<WebFile> LoadWebFile(const std::string& path);
// As LoadWebFile, for a file `path` with the content `text` (any bytes). Reads the certificates and keys from disk.
Result<WebFile> ParseWebFile(std::string_view text, const std::string& path);

}  // namespace mi::config
