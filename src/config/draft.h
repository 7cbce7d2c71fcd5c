// A configuration while it is put together, source by source, each over the one before.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "config/rows.h"
#include "config/yaml_tree.h"

namespace mi::config {

// What an option is called in one place: "remote.write[1].url", "librdkafka.linger.ms".
struct Target {
  const Row* row = nullptr;
  size_t element = 0;  // of a list of sections
  std::string option;  // of librdkafka

  std::string Path() const;
};

// Where a value stands: a line of a file, a variable, a flag.
struct Place {
  Place(std::string name_of_it, int line_of_it = 0) : name(std::move(name_of_it)), line(line_of_it) {}  // NOLINT
  Place(const char* name_of_it) : name(name_of_it) {}                                                   // NOLINT

  // "config/prod.yml:9", "METRIC_INDEX_APP_PORT", "--listen".
  std::string ToString() const;

  std::string name;
  int line = 0;  // 0: no line
};

// Threads: confined.
class Draft {
 public:
  Config config;
  std::map<std::string, Place> origins;  // by Target::Path(); none has its default
  std::vector<std::string> warnings;

  // Takes a value, or a fault that says where it stands.
  void Set(const Target& target, std::string_view text, const Place& where);
  void SetList(const Target& target, const std::vector<std::string>& items, const Place& where);
  void AddFault(const Place& where, std::string_view text);
  bool HasRoomForFaults() const;  // or whether further ones are only counted
  // Where the value of `path` comes from, for a fault about it.
  Place OriginOf(const std::string& path) const;

  // The section of a list that a source without lists means: the only one, made if there is none. False, with a fault,
  // if there are several.
  bool OnlyElement(const Target& target, const Place& where);

  bool ok() const { return faults_.empty(); }
  // Every fault, a line each; those of the file in its order. Requires: !ok().
  Error Faults() const;

 private:
  struct PlacedFault {
    Place where;
    std::string text;
  };
  std::vector<PlacedFault> faults_;  // those with a line in front, by line
  size_t more_faults_ = 0;
};

// "mysql.dbname", "remote.write.url", "librdkafka.linger.ms" as the command line names them. No row where there is
// none.
Target FindTarget(std::string_view key);

void ApplyYaml(const YamlTree& tree, std::string_view name, Draft& draft);
void ApplyEnvironment(const std::map<std::string, std::string>& environment, Draft& draft);
void ApplyCommandLine(const std::vector<std::pair<std::string, std::string>>& values, Draft& draft);

// What options must be to one another and to the role; also warns of what is legal but probably not meant.
void CheckRelations(Draft& draft);

}  // namespace mi::config
