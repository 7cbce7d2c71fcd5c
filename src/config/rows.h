// One row per option. The parser, the environment, the command line, `config default`, `config show`, the documentation
// and the reload are all made from these rows: an option that has no row does not exist.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace mi::config {

// Where in a Config a row's value stands. Valid as long as the Config and the list that the row is in.
using Slot = std::variant<std::string*, bool*, uint64_t*, milliseconds*, Role*, std::vector<std::string>*,
                          std::map<std::string, std::string>*>;

enum class Reload { kRestart, kLive };
enum class Secret { kNo, kYes };
// How a number is written: 7001 · 32MiB · 20s · 1800 (seconds, as the service before wrote them).
enum class Unit { kNone, kBytes, kDuration, kSeconds };

struct Row {
  // "app.port"; "remote.write[].url" for an option of each element of a list.
  std::string_view path;
  // `element` counts only for a path with [].
  Slot (*slot)(Config& config, size_t element) = nullptr;
  // Of a number; milliseconds for durations. Both ends are allowed.
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  Unit unit = Unit::kNone;
  // Of a text: "full|normal"; '' = any.
  std::string_view choices = {};
  // Of a text, or of each element of a list: '' or what it wants ("host:port").
  std::string_view (*check)(std::string_view value) = nullptr;
  Secret secret = Secret::kNo;
  Reload reload = Reload::kRestart;
  std::string_view flag = {};  // its own flag on the command line
  std::string_view prose;      // plain sentences; what 0 or '' mean
};

// A misspelling that is understood: `wrong` in place of the last word of `path`, an option or a section.
struct Misspelling {
  std::string_view path;
  std::string_view wrong;
};

struct Section {
  std::string_view path;
  std::string_view prose;
};

std::span<const Row> Rows();
std::span<const Misspelling> Misspellings();
std::span<const Section> Sections();

// Null where there is none. "remote.write.url" is found under "remote.write[].url".
const Row* FindRow(std::string_view path);
// Whether keys stand below `path`.
bool IsSection(std::string_view path);
// Whether `path` is a list of sections.
bool IsList(std::string_view path);
// The one with misspelled words put right: "mysql.dbname" gives "mysql.db_name".
std::string PutRight(std::string_view path);
// "app.port" gives METRIC_INDEX_APP_PORT.
std::string EnvironmentName(std::string_view path);

// "a.b" of "a.b.c"; '' of "a". "c" of "a.b.c".
std::string_view ParentOf(std::string_view path);
std::string_view LastWord(std::string_view path);

// Whether the value is a url: shown without what it may carry of a secret (ShownUrl).
bool HoldsUrl(const Row& row);
// Whether a librdkafka option holds a secret.
bool IsSecretKafkaOption(std::string_view option);

}  // namespace mi::config
