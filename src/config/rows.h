// One row per option: its path, range, prose, whether it is secret, whether a reload takes it. The parser, the
// environment, the command line, `config default`, `config show`, the documentation and the reload are all made from
// the rows: an option that has no row does not exist. Its default is that of the member.
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

// The member of a Config that holds a row's value. Valid as long as the Config and the list that the row is in.
// uint8_t stands for an enum: its value is the index of the row's choice.
using Member = std::variant<std::string*, bool*, uint8_t*, uint16_t*, uint64_t*, milliseconds*,
                            std::vector<std::string>*, std::map<std::string, std::string>*>;

enum class Reload { kRestart, kLive };
enum class Secret { kNo, kYes };
// How a number is written: 7001 · 32MiB · 20s · 1800 (seconds, as the service before wrote them).
enum class Unit { kNone, kBytes, kDuration, kSeconds };

struct Row {
  // "app.port"; "remote.write[].url" for an option of each element of a list.
  std::string_view path;
  // `element` matters only for a path with [].
  Member (*member)(Config& config, size_t element) = nullptr;
  // Of a number; milliseconds for durations. Both ends are allowed.
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  Unit unit = Unit::kNone;
  // Of a text or an enum (in the order of its values): "full|normal"; '' = any text.
  std::string_view choices = {};
  // Of a text, or of each element of a list: returns '' if it is legal, else what is wanted ("host:port").
  std::string_view (*check)(std::string_view value) = nullptr;
  Secret secret = Secret::kNo;
  Reload reload = Reload::kRestart;
  std::string_view flag = {};  // its own flag on the command line
  std::string_view prose;      // plain sentences; what 0 or '' mean
};

// A misspelling of the service before this one that is still understood: `wrong` for the last word of `path`, which is
// an option or a section.
struct Misspelling {
  std::string_view path;
  std::string_view wrong;
};

std::span<const Row> Rows();
std::span<const Misspelling> Misspellings();
// What stands above the section in the YAML file and in the documentation; '' if nothing does.
std::string_view ProseOfSection(std::string_view path);

inline constexpr std::string_view kVariablePrefix = "METRIC_INDEX_";

// Null if there is none. "remote.write.url" finds "remote.write[].url".
const Row* FindRow(std::string_view path);
// Whether keys stand below `path`.
bool IsSection(std::string_view path);
// Whether `path` is a list of sections.
bool IsList(std::string_view path);
// The path with misspelled words replaced: "mysql.dbname" gives "mysql.db_name".
std::string CorrectSpelling(std::string_view path);
// "app.port" gives METRIC_INDEX_APP_PORT.
std::string EnvironmentName(std::string_view path);

// "a.b" of "a.b.c"; '' of "a". "c" of "a.b.c".
std::string_view ParentOf(std::string_view path);
std::string_view LastWord(std::string_view path);

// Whether the value is a URL, which is shown without what may be a secret in it (ShownUrl).
bool HoldsUrl(const Row& row);
// Whether a librdkafka option holds a secret.
bool IsSecretKafkaOption(std::string_view option);

}  // namespace mi::config
