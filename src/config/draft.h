// A configuration while it is assembled: each source is applied over the ones before it.
//
// Threads: confined. Errors: a fault never stops a source; all faults are collected, each with its place.
#pragma once

#include <cstddef>
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

// One option of a Config: a row, and which element of a list or which option of librdkafka.
struct OptionRef {
  const Row* row = nullptr;
  size_t element = 0;  // of a list of sections
  std::string option;  // of librdkafka

  // "app.port", "remote.write[1].url", "librdkafka.linger.ms".
  std::string Path() const;
};

// Where a value was set: a line of a file, an environment variable, the command line.
struct Place {
  std::string name;
  int line = 0;  // 0: not in a file

  // "config/prod.yml:9", "METRIC_INDEX_APP_PORT", "command line".
  std::string ToString() const;
};

class Draft {
 public:
  Config config;
  std::map<std::string, Place> origins;  // by OptionRef::Path(); an option without an entry has its default
  std::vector<std::string> warnings;

  // The sources. `file_name` is what faults call the file.
  void ApplyYaml(const YamlTree& tree, const std::string& file_name);
  void ApplyEnvironment(const std::map<std::string, std::string>& environment);
  void ApplyCommandLine(const std::vector<std::pair<std::string, std::string>>& values);

  // Takes a value, or adds a fault that says where the value was set. Requires: ref.row.
  void Set(const OptionRef& ref, std::string_view text, const Place& where);
  void SetList(const OptionRef& ref, const std::vector<std::string>& items, const Place& where);

  void AddFault(const Place& where, std::string_view text);
  // False once there are so many faults that further ones are only counted.
  bool HasRoomForFaults() const;
  // Where the value of `path` was set: for a fault about it.
  Place OriginOf(const std::string& path) const;

  bool ok() const { return faults_.empty(); }
  // Every fault on a line of its own; those of the file first, by line. Requires: !ok().
  Error Faults() const;

 private:
  class YamlSource;
  struct Fault {
    Place where;
    std::string text;
  };

  void ApplyVariable(const std::map<std::string, std::string>& environment, const std::string& name,
                     const std::string& value, bool misspelled);
  // As Set, from a source that cannot name an element of a list: the list then has one element, or the value is a
  // fault.
  void SetOnlyElement(const OptionRef& ref, std::string_view text, const Place& where);

  std::vector<Fault> faults_;
  size_t uncollected_faults_ = 0;
};

// "mysql.dbname", "remote.write.url", "librdkafka.linger.ms" as the command line names them. row is null if unknown.
OptionRef FindOption(std::string_view key);

}  // namespace mi::config
