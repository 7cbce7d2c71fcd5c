// From file, environment and command line to one checked Config, and what is printed of it.
//
// Precedence: command line over environment over file over default. A misspelling of the service before (consummer,
// fulsh_interval, max_idel_conns, dbname) is understood; the correct spelling wins where both stand.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace mi::config {

// Larger files are refused unread.
inline constexpr uint64_t kMaxFileBytes = 256 * kKiB;

struct Sources {
  std::optional<std::string> file;  // --config; without it GO_ENV or METRIC_INDEX_ENV chooses, else the defaults stand
  std::map<std::string, std::string> environment;                 // all of it; what does not concern us is left alone
  std::vector<std::pair<std::string, std::string>> command_line;  // key ("app.listen") and value
  std::string folder = ".";  // where config/<env>.yml and conf/<env>.yml are looked for
};

// The environment of this process, for Sources. Threads: while no other changes it.
std::map<std::string, std::string> ProcessEnvironment();

struct Loaded {
  Config config;
  // Where a value comes from: "config/prod.yml:9", "METRIC_INDEX_LOG_LEVEL", "command line". By key ("log.level",
  // "remote.write[0].url", "librdkafka.linger.ms"); a key without an entry has its default.
  std::map<std::string, std::string> origins;
  std::vector<std::string> warnings;  // a line each, for the log at start
  std::optional<std::string> file;    // the one that was read
};

// Errors: kInvalid, a line for each fault found ("file:line: …", "METRIC_INDEX_…: …"), never only the first. No message
//         holds the value of a secret.
Result<Loaded> Load(const Sources& sources);
// As Load of a file that holds `text` and is called `name`, with neither environment nor command line. Any bytes will
// do.
Result<Loaded> LoadFromText(std::string_view text, std::string_view name = "config");
// `config check FILE`: the file alone, without environment and command line.
Result<Loaded> Check(const std::string& file);

// `config default`: every option with its default, commented; loads to Config{}.
std::string PrintDefault();
// `config show`: the values in effect, each with its origin; secrets as "***".
std::string PrintShow(const Loaded& loaded);
// As YAML without comments, secrets in clear: loads to the same Config again.
std::string PrintYaml(const Config& config);
// docs/configuration.md.
std::string PrintDocumentation();

// Options that have a flag of their own on the command line: {"--listen", "app.listen", "what it is"}.
struct Flag {
  std::string_view flag;
  std::string_view key;
  std::string_view prose;
};
std::vector<Flag> Flags();

}  // namespace mi::config
