#include "config/web_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <span>

#include "base/ascii.h"
#include "base/format.h"
#include "base/quantity.h"
#include "base/quote.h"
#include "config/loader.h"
#include "config/nearest.h"
#include "config/text_file.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

using Kind = YamlNode::Kind;

constexpr uint64_t kMaxPemBytes = 4 * kMiB;  // a bundle of all public authorities has 250 KiB
constexpr size_t kMaxWebFaults = 100;

constexpr std::array<std::string_view, 5> kClientAuth = {"NoClientCert", "RequestClientCert", "RequireAnyClientCert",
                                                         "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"};
constexpr std::array<std::string_view, 4> kVersions = {"TLS10", "TLS11", "TLS12", "TLS13"};
constexpr std::array<std::string_view, 3> kRoles = {"write", "read", "admin"};

// "$2y$10$" and 53 characters of salt and hash.
bool IsBcrypt(std::string_view text) {
  if (text.size() != 60 || !text.starts_with("$2") || text[3] != '$' || text[6] != '$') return false;
  if (!std::string_view("aby").contains(text[2]) || !IsDigit(text[4]) || !IsDigit(text[5])) return false;
  const int cost = (text[4] - '0') * 10 + (text[5] - '0');
  const bool has_alphabet =
      std::ranges::all_of(text.substr(7), [](char c) { return IsAlnum(c) || c == '.' || c == '/'; });
  return cost >= 4 && cost <= 31 && has_alphabet;
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'f'); });
}

// Of a header's value (RFC 9110, 5.5), without bytes beyond ASCII.
bool IsHeaderValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); });
}

// Walks the tree once, and collects every fault with its line. What the sections allow is in the functions that read
// them: each calls Section() with the keys that it knows.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) { file_.files.push_back(path); }

  Result<WebFile> Read(std::string_view text) {
    const YamlTree tree = ParseYaml(text);
    for (const config::Fault& fault : tree.faults) AddFault(fault.line, fault.text);
    if (tree.whole) {
      Section(tree.root, "",
              {{"tls_server_config", [this](const YamlNode& node) { ReadTls(node); }},
               {"http_server_config", [this](const YamlNode& node) { ReadHttp(node); }},
               {"rate_limit", [this](const YamlNode& node) { ReadRateLimit(node); }},
               {"basic_auth_users", [this](const YamlNode& node) { ReadUsers(node); }},
               {"tokens", [this](const YamlNode& node) { ReadTokens(node); }},
               {"grants", [this](const YamlNode& node) { ReadGrants(node); }}});
      CheckGrants();
    }
    if (faults_.empty()) return std::move(file_);
    std::ranges::sort(faults_, {},
                      [](const config::Fault& fault) { return std::pair(fault.line, std::string_view(fault.text)); });
    std::string message;
    for (const config::Fault& fault : faults_) {
      if (!message.empty()) message += '\n';
      message += fault.line == 0 ? mi::format("{}: {}", path_, fault.text)
                                 : mi::format("{}:{}: {}", path_, fault.line, fault.text);
    }
    return Fail(Errc::kInvalid, std::move(message));
  }

 private:
  struct Key {
    std::string_view name;
    std::function<void(const YamlNode&)> read;
  };

  void AddFault(int line, std::string text) {
    if (faults_.size() < kMaxWebFaults) faults_.push_back({line, std::move(text)});
  }
  void Wants(const YamlNode& node, std::string_view key, std::string_view what) {
    AddFault(node.line, mi::format("{} wants {}", key, what));
  }

  // Reads the keys of a section. A key with nothing after its colon counts as absent.
  void Section(const YamlNode& section, const std::string& path, const std::vector<Key>& keys) {
    if (section.kind == Kind::kNull) return;
    if (section.kind != Kind::kMap) return Wants(section, path, "a section");
    for (const YamlNode& child : section.children) {
      const auto known = std::ranges::find(keys, child.key, &Key::name);
      if (known == keys.end()) {
        UnknownKey(child, path, keys);
      } else if (child.kind != Kind::kNull) {
        known->read(child);
      }
    }
  }

  void UnknownKey(const YamlNode& node, const std::string& path, const std::vector<Key>& keys) {
    constexpr size_t kSimilar = 3;  // letters
    const auto distance = [&](const Key& key) { return EditDistance(node.key, key.name); };
    const auto nearest = std::ranges::min_element(keys, {}, distance);
    const bool is_similar = nearest != keys.end() && distance(*nearest) <= kSimilar;
    AddFault(node.key_line, mi::format("unknown key {}{}", Quoted(path.empty() ? node.key : path + "." + node.key),
                                       is_similar ? mi::format(" (did you mean '{}'?)", nearest->name) : ""));
  }

  Key Text(const std::string& path, std::string_view name, std::string& value) {
    return {name, [this, key = mi::format("{}.{}", path, name), &value](const YamlNode& node) {
              node.kind == Kind::kText ? void(value = node.text) : Wants(node, key, "text");
            }};
  }
  Key Texts(const std::string& path, std::string_view name, std::vector<std::string>& values) {
    return {name, [this, key = mi::format("{}.{}", path, name), &values](const YamlNode& node) {
              values = ReadTexts(node, key);
            }};
  }
  Key Truth(const std::string& path, std::string_view name, bool& value) {
    return {name, [this, key = mi::format("{}.{}", path, name), &value](const YamlNode& node) {
              if (node.text != "true" && node.text != "false") return Wants(node, key, "true or false");
              value = node.text == "true";
            }};
  }

  std::vector<std::string> ReadTexts(const YamlNode& node, std::string_view key) {
    std::vector<std::string> texts;
    if (node.kind != Kind::kList) {
      Wants(node, key, "a list");
      return texts;
    }
    for (const YamlNode& item : node.children) {
      item.kind == Kind::kText ? texts.push_back(item.text) : Wants(item, key, "a list of texts");
    }
    return texts;
  }

  // The index of the text in `choices`.
  std::optional<size_t> Choose(const YamlNode& node, std::string_view key, std::span<const std::string_view> choices) {
    const auto found = std::ranges::find(choices, std::string_view(node.text));
    if (node.kind == Kind::kText && found != choices.end()) return found - choices.begin();
    std::string all;
    for (const std::string_view choice : choices) all.append(all.empty() ? "" : ", ").append(choice);
    AddFault(node.line, node.kind == Kind::kText
                            ? mi::format("{} is {}; it wants one of {}", key, Quoted(node.text), all)
                            : mi::format("{} wants one of {}", key, all));
    return std::nullopt;
  }

  // ---- TLS

  struct Files {
    std::string cert, key, client_ca;
  };

  void ReadTls(const YamlNode& section) {
    if (section.children.empty()) return Section(section, "tls_server_config", {});
    net::TlsOptions& tls = file_.tls.emplace();
    Files files;
    const std::string path = "tls_server_config";
    Section(section, path,
            {Text(path, "cert", tls.certificate),
             Text(path, "cert_file", files.cert),
             Text(path, "key", tls.key),
             Text(path, "key_file", files.key),
             Text(path, "client_ca", tls.client_ca),
             Text(path, "client_ca_file", files.client_ca),
             {"client_auth_type", [&](const YamlNode& node) { ReadClientAuth(node, tls); }},
             Texts(path, "client_allowed_sans", tls.client_allowed_sans),
             {"min_version", [&](const YamlNode& node) { ReadMinVersion(node, tls); }},
             {"max_version", [&](const YamlNode& node) { ReadMaxVersion(node, tls); }},
             Texts(path, "cipher_suites", tls.cipher_suites),
             Texts(path, "curve_preferences", tls.curve_preferences),
             Truth(path, "prefer_server_cipher_suites", tls.prefer_server_cipher_suites)});
    const int line = section.key_line;
    TakeFile(line, path + ".cert", files.cert, tls.certificate);
    TakeFile(line, path + ".key", files.key, tls.key);
    TakeFile(line, path + ".client_ca", files.client_ca, tls.client_ca);
    CheckTls(line, tls);
  }

  void CheckTls(int line, const net::TlsOptions& tls) {
    if (tls.certificate.empty()) AddFault(line, "tls_server_config wants cert_file or cert: the server's certificate");
    if (tls.key.empty()) AddFault(line, "tls_server_config wants key_file or key: the certificate's key");
    if (tls.min_version > tls.max_version) AddFault(line, "tls_server_config.min_version is above max_version");
    if (!tls.client_ca.empty() && tls.client_auth == net::ClientAuth::kNoClientCert) {
      AddFault(line, "tls_server_config.client_ca has no effect without a client_auth_type");
    }
    const bool must_show = tls.client_auth == net::ClientAuth::kRequireAnyClientCert ||
                           tls.client_auth == net::ClientAuth::kRequireAndVerifyClientCert;
    if (!tls.client_allowed_sans.empty() && !must_show) {
      AddFault(line,
               "tls_server_config.client_allowed_sans needs the client_auth_type RequireAnyClientCert or "
               "RequireAndVerifyClientCert: others let clients in that show no certificate");
    }
  }

  // Reads the file, unless it is '' or its content was given in place.
  void TakeFile(int line, const std::string& key, const std::string& name, std::string& content) {
    if (name.empty()) return;
    if (!content.empty()) return AddFault(line, mi::format("{0} and {0}_file are both here", key));
    const std::string path = std::filesystem::path(path_).parent_path() / name;
    file_.files.push_back(path);
    Result<std::string> text = ReadSmallFile(path, kMaxPemBytes);
    if (!text) return AddFault(line, mi::format("{}_file: {}", key, text.error().message()));
    if (text->empty()) return AddFault(line, mi::format("{}_file: {} is empty", key, path));
    content = *std::move(text);
  }

  void ReadClientAuth(const YamlNode& node, net::TlsOptions& tls) {
    constexpr std::string_view kOldName = "RequireClientCert";  // of RequireAnyClientCert, still understood elsewhere
    if (node.text == kOldName) {
      tls.client_auth = net::ClientAuth::kRequireAnyClientCert;
    } else if (const auto choice = Choose(node, "tls_server_config.client_auth_type", kClientAuth)) {
      tls.client_auth = static_cast<net::ClientAuth>(*choice);
    }
  }

  void ReadMinVersion(const YamlNode& node, net::TlsOptions& tls) {
    const auto choice = Choose(node, "tls_server_config.min_version", kVersions);
    if (!choice) return;
    if (*choice < 2) {
      file_.warnings.push_back(
          mi::format("{}:{}: tls_server_config.min_version is {}, which is not spoken: TLS12 is "
                     "the lowest",
                     path_, node.line, node.text));
    }
    tls.min_version = *choice <= 2 ? net::TlsVersion::kTls12 : net::TlsVersion::kTls13;
  }

  void ReadMaxVersion(const YamlNode& node, net::TlsOptions& tls) {
    const auto choice = Choose(node, "tls_server_config.max_version", std::span(kVersions).subspan(2));
    if (choice) tls.max_version = static_cast<net::TlsVersion>(*choice);
  }

  // ---- HTTP

  void ReadHttp(const YamlNode& section) {
    bool http2 = true;  // HTTP/1.1 is spoken either way, which every client of HTTP/2 also speaks
    Section(section, "http_server_config",
            {Truth("http_server_config", "http2", http2),
             {"headers", [this](const YamlNode& node) { ReadHeaders(node); }}});
  }

  void ReadHeaders(const YamlNode& section) {
    std::vector<Key> keys;
    for (const std::string_view name : {"Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options",
                                        "X-XSS-Protection", "Strict-Transport-Security"}) {
      keys.push_back({name, [this](const YamlNode& node) { ReadHeader(node); }});
    }
    Section(section, "http_server_config.headers", keys);
  }

  void ReadHeader(const YamlNode& node) {
    const std::string key = "http_server_config.headers." + node.key;
    if (node.text.empty()) return;
    if (node.key == "X-Frame-Options" && !Choose(node, key, std::array<std::string_view, 2>{"deny", "sameorigin"}))
      return;
    if (node.key == "X-Content-Type-Options") {  // every answer has it anyway
      Choose(node, key, std::array<std::string_view, 1>{"nosniff"});
      return;
    }
    if (!IsHeaderValue(node.text)) return Wants(node, key, "the value of an HTTP header: printable ASCII, one line");
    file_.headers.emplace_back(node.key, node.text);
  }

  void ReadRateLimit(const YamlNode& section) {
    access::AccessOptions& access = file_.access;
    const auto read_interval = [&](const YamlNode& node) {
      // A number alone is refused: it would be nanoseconds in Go.
      const auto ms = node.text == "0" || node.text.ends_with('s') ? ParseDuration(node.text) : std::nullopt;
      if (!ms) return Wants(node, "rate_limit.interval", "a duration such as 10ms or 1s");
      access.request_interval = std::chrono::milliseconds(*ms);
    };
    const auto read_burst = [&](const YamlNode& node) {
      const auto burst = ParseWhole(node.text);
      if (!burst) return Wants(node, "rate_limit.burst", "a whole number");
      access.request_burst = *burst;
    };
    Section(section, "rate_limit", {{"interval", read_interval}, {"burst", read_burst}});
    if (access.request_interval.count() > 0 && access.request_burst == 0) {
      Wants(section, "rate_limit.burst", "a number above 0, or no request would be answered");
    }
  }

  // ---- logins

  void ReadUsers(const YamlNode& section) {
    if (section.kind != Kind::kMap)
      return Wants(section, "basic_auth_users", "a section: user names and bcrypt hashes");
    for (const YamlNode& user : section.children) {
      const std::string key = "basic_auth_users." + Printable(user.key);
      if (user.key.empty() || user.key.contains(':')) {
        AddFault(user.key_line, mi::format("{}: a user name is not empty and has no colon (RFC 7617)", key));
      } else if (user.kind != Kind::kText || !IsBcrypt(user.text)) {
        Wants(user, key, "a bcrypt hash, as `htpasswd -nBC 10 USER` writes it ($2y$10$…)");
      } else {
        file_.access.users.emplace(user.key, user.text);
      }
    }
  }

  void ReadTokens(const YamlNode& list) {
    if (list.kind != Kind::kList) return Wants(list, "tokens", "a list of {name, sha256, roles, tenants}");
    for (size_t i = 0; i < list.children.size(); ++i) {
      const YamlNode& node = list.children[i];
      const std::string path = mi::format("tokens[{}]", i);
      access::Token token;
      Section(node, path,
              {Text(path, "name", token.name), Text(path, "sha256", token.sha256), Roles(path, token.grant),
               Tenants(path, token.grant)});
      if (token.name.empty()) Wants(node, path + ".name", "a name");
      if (!IsSha256(token.sha256)) {
        Wants(node, path + ".sha256", "64 hexadecimal digits, as `printf %s TOKEN | sha256sum` writes them");
      }
      token.sha256 = ToLower(token.sha256);
      CheckGrant(node, path, token.grant);
      for (const access::Token& other : file_.access.tokens) {
        if (other.name == token.name) AddFault(node.line, mi::format("{}.name is here twice", path));
        if (other.sha256 == token.sha256) AddFault(node.line, mi::format("{}.sha256 is here twice", path));
      }
      file_.access.tokens.push_back(std::move(token));
    }
  }

  void ReadGrants(const YamlNode& section) {
    if (section.kind != Kind::kMap)
      return Wants(section, "grants", "a section: a user or a certificate's name to {roles, tenants}");
    for (const YamlNode& node : section.children) {
      const std::string path = "grants." + Printable(node.key);
      access::Grant grant;
      Section(node, path, {Roles(path, grant), Tenants(path, grant)});
      CheckGrant(node, path, grant);
      file_.access.grants.emplace(node.key, std::move(grant));
      grant_lines_.emplace_back(node.key, node.key_line);
    }
  }

  Key Roles(const std::string& path, access::Grant& grant) {
    return {"roles", [this, key = path + ".roles", &grant](const YamlNode& node) {
              grant.roles = ReadTexts(node, key);
              for (const YamlNode& role : node.children) Choose(role, key, kRoles);
            }};
  }
  Key Tenants(const std::string& path, access::Grant& grant) { return Texts(path, "tenants", grant.tenants); }

  void CheckGrant(const YamlNode& node, const std::string& path, const access::Grant& grant) {
    if (grant.roles.empty()) Wants(node, path + ".roles", "at least one of write, read, admin");
    if (grant.tenants.empty()) Wants(node, path + ".tenants", "at least one tenant, or \"*\" for all");
  }

  // A grant that nobody can have is probably misspelled.
  void CheckGrants() {
    const bool verifies = file_.tls && file_.tls->client_auth >= net::ClientAuth::kVerifyClientCertIfGiven;
    if (verifies) return;
    for (const auto& [name, line] : grant_lines_) {
      if (file_.access.users.contains(name)) continue;
      AddFault(line, mi::format("grants.{}: there is no such user in basic_auth_users, and client certificates are not "
                                "verified (client_auth_type)",
                                Printable(name)));
    }
  }

  const std::string& path_;
  WebFile file_;
  std::vector<config::Fault> faults_;
  std::vector<std::pair<std::string, int>> grant_lines_;
};

}  // namespace

Result<WebFile> LoadWebFile(const std::string& path) {
  const std::string text = TRY(ReadSmallFile(path, kMaxFileBytes));
  return ParseWebFile(text, path);
}

Result<WebFile> ParseWebFile(std::string_view text, const std::string& path) { return Reader(path).Read(text); }

}  // namespace mi::config
