// Parses YAML into a small tree with line numbers and a list of faults. The one place that names yaml-cpp.
//
// A configuration is one document of maps with plain keys, lists and scalars, a few levels deep. What YAML can do
// beyond that (anchors, aliases, tags, keys that are maps, several documents) is refused rather than half understood.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mi::config {

struct YamlNode {
  enum class Kind { kNull, kText, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;     // 1 is the first
  std::string key;  // its name, if its parent is a map
  int key_line = 0;
  std::string text;                // kText
  std::vector<YamlNode> children;  // kList, kMap
};

// For a message: "text", "a list", "a section", "nothing".
std::string_view Describe(YamlNode::Kind kind);

struct Fault {
  int line;  // 0: the file as a whole
  std::string text;
};

struct YamlTree {
  YamlNode root;              // kMap or kNull
  std::vector<Fault> faults;  // in the order of the file
  bool whole = false;         // false: the parser stopped at a fault, and root holds what came before it
};

// Where `text` stops being UTF-8 without control characters; tab, newline and carriage return are allowed.
std::optional<size_t> FirstBadByte(std::string_view text);

inline constexpr size_t kMaxYamlDepth = 16;

// Takes any bytes; never throws. Its stack and memory are bounded by kMaxYamlDepth and the length of `bytes`.
YamlTree ParseYaml(std::string_view bytes);

}  // namespace mi::config
