// YAML bytes as a small tree with line numbers, and everything that is wrong with them. The one place that names
// yaml-cpp.
//
// A configuration is one document of maps with plain keys, lists and scalars, a few levels deep. What YAML can do
// beyond that (anchors, aliases, tags, keys that are maps, several documents) is refused rather than half understood.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mi::config {

struct YamlNode {
  enum class Kind { kNull, kText, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;     // 1 is the first
  std::string key;  // its name, if it stands in a map
  int key_line = 0;
  std::string text;                // kText
  std::vector<YamlNode> children;  // kList, kMap
};

// As people read it in a message: "text", "a list", "a section", "nothing".
std::string_view Describe(YamlNode::Kind kind);

struct Fault {
  int line;  // 0: of the whole
  std::string text;
};

struct YamlTree {
  YamlNode root;              // kMap or kNull
  std::vector<Fault> faults;  // as they were met
  bool whole = false;         // false: it broke off at a fault, and root holds what came before
};

inline constexpr size_t kMaxYamlDepth = 16;

// Any bytes will do; never throws, and its stack and memory are bounded by kMaxYamlDepth and the length of `bytes`.
YamlTree ParseYaml(std::string_view bytes);

}  // namespace mi::config
