// Assembles one checked Config from a file, the environment and the command line.
//
// Precedence: command line over environment over file over default. Misspellings of the service before this one
// (consummer, fulsh_interval, max_idel_conns, dbname) are understood; if both spellings are present, the correct one
// wins.
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

inline constexpr uint64_t kMaxFileBytes = 256 * kKiB;  // larger files are refused unread

struct Sources {
  std::optional<std::string> file;  // --config; without it GO_ENV or METRIC_INDEX_ENV chooses one, else there is none
  std::map<std::string, std::string> environment;                 // all of it; foreign variables are ignored
  std::vector<std::pair<std::string, std::string>> command_line;  // key ("app.listen") and value
  std::string folder = ".";                                       // holds config/<env>.yml or conf/<env>.yml
};

// The environment of this process. Threads: while no other thread changes it.
std::map<std::string, std::string> ProcessEnvironment();

struct Loaded {
  Config config;
  // Where each value was set: "config/prod.yml:9", "METRIC_INDEX_LOG_LEVEL", "command line". By path ("log.level",
  // "remote.write[0].url", "librdkafka.linger.ms"); an option without an entry has its default.
  std::map<std::string, std::string> origins;
  std::vector<std::string> warnings;  // one line each
  std::optional<std::string> file;    // the file that was read
};

// Errors: kInvalid, with one line per fault ("file:line: …", "METRIC_INDEX_…: …"), all of them. No message holds the
//         value of a secret.
Result<Loaded> Load(const Sources& sources);
// As Load, if sources.file has the content `text`. Requires: sources.file.
Result<Loaded> LoadWithText(const Sources& sources, std::string_view text);
// As Load, for a file that is called `name`, has the content `text` (any bytes), and is the only source.
Result<Loaded> LoadFromText(std::string_view text, const std::string& name = "config");
// `config check FILE`: the file is the only source.
Result<Loaded> Check(const std::string& file);

}  // namespace mi::config
