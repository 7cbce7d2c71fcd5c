#include "config/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>
#include <utility>

#include "base/format.h"
#include "base/quote.h"
#include "base/utf8.h"

namespace mi::config {
namespace {

// Thrown through the parser to stop it: at too deep nesting, and where the rest has no meaning.
struct Stop : std::exception {};

// Whether the quoted scalar at the front of `text` has its closing quote. yaml-cpp accepts the end of the input
// instead, and so would accept a half written file.
bool IsClosed(std::string_view text) {
  const char quote = text.front();
  for (size_t i = 1; i < text.size(); ++i) {
    const bool escapes = quote == '"' ? text[i] == '\\' : text.substr(i).starts_with("''");
    if (escapes) {
      ++i;
    } else if (text[i] == quote) {
      return true;
    }
  }
  return false;
}

// Builds the tree from yaml-cpp's events, which come in the order of the text. open_ is the stack of lists and maps
// from the root to the present place. In a map, events alternate between a key and its value; has_key tells which is
// next. A finished node moves into its parent, so the stack is as deep as the nesting. If the parser stops early,
// CloseAll() keeps what was read: its faults are then reported together with the one that stopped the parser.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view bytes, YamlTree& tree) : bytes_(bytes), tree_(tree) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) StopAt(mark, "a second document begins here; a configuration is one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Add(mark, YamlNode::Kind::kNull, {}); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    FaultAt(mark, "YAML aliases are not supported; write the value out");
    Add(mark, YamlNode::Kind::kNull, {});
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    FaultAt(mark, "YAML anchors are not supported; write the value out where it is used");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    CheckTag(mark, tag);
    if (tag == "!" && !IsClosed(bytes_.substr(static_cast<size_t>(mark.pos)))) FaultAt(mark, "a quote is never closed");
    Add(mark, YamlNode::Kind::kText, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  // Attaches the open nodes to their parents after the parser has stopped early.
  void CloseAll() {
    while (!open_.empty()) {
      if (open_.back().node.kind == YamlNode::Kind::kMap && !AtKey()) {
        open_.back().has_key = false;  // its value never came
      } else {
        Close();
      }
    }
  }

 private:
  // A list or map that is being read.
  struct OpenNode {
    YamlNode node;
    bool has_key = false;  // of a map: the next node is the value of `key`
    YamlNode key;
    std::map<std::string, int, std::less<>> lines;  // of the keys so far
  };

  static int LineOf(const YAML::Mark& mark) { return mark.line + 1; }

  void FaultAt(const YAML::Mark& mark, std::string text) { tree_.faults.push_back({LineOf(mark), std::move(text)}); }
  [[noreturn]] void StopAt(const YAML::Mark& mark, std::string text) {
    FaultAt(mark, std::move(text));
    throw Stop();
  }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    const auto at = static_cast<size_t>(mark.pos);
    const bool written = at < bytes_.size() && bytes_[at] == '!';
    const bool implied = tag.empty() || tag == "?" || tag == "!";  // plain or quoted
    // The message does not repeat the tag: a password that starts with '!' looks like one.
    if (written || !implied) StopAt(mark, "YAML tags are not supported; put text that starts with '!' in quotes");
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    CheckTag(mark, tag);
    if (open_.size() >= kMaxYamlDepth) StopAt(mark, mi::format("nested more than {} deep", kMaxYamlDepth));
    if (AtKey()) StopAt(mark, mi::format("a key must be a word, is {}", Describe(kind)));
    OpenNode opened;
    opened.node.kind = kind;
    opened.node.line = LineOf(mark);
    open_.push_back(std::move(opened));
  }

  void Close() {
    YamlNode done = std::move(open_.back().node);
    open_.pop_back();
    Place(std::move(done));
  }

  void Add(const YAML::Mark& mark, YamlNode::Kind kind, std::string text) {
    YamlNode node;
    node.kind = kind;
    node.line = LineOf(mark);
    node.text = std::move(text);
    if (AtKey()) {
      if (kind == YamlNode::Kind::kNull) FaultAt(mark, "a key is missing in front of ':'");
      open_.back().key = std::move(node);
      open_.back().has_key = true;
    } else {
      Place(std::move(node));
    }
  }

  bool AtKey() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap && !open_.back().has_key;
  }

  // Adds a finished node to the innermost open one, or makes it the root.
  void Place(YamlNode node) {
    if (open_.empty()) {
      tree_.root = std::move(node);
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kMap) {
      parent.has_key = false;
      if (parent.key.kind == YamlNode::Kind::kNull) return;
      const auto [at, first] = parent.lines.try_emplace(parent.key.text, parent.key.line);
      if (!first) {
        tree_.faults.push_back({parent.key.line, mi::format("key {} is here twice, first in line {}",
                                                            Quoted(parent.key.text), at->second)});
        return;
      }
      node.key = std::move(parent.key.text);
      node.key_line = parent.key.line;
    }
    parent.node.children.push_back(std::move(node));
  }

  const std::string_view bytes_;
  YamlTree& tree_;
  std::vector<OpenNode> open_;
  int documents_ = 0;
};

std::string Reason(const std::string& message) {
  if (message == YAML::ErrorMsg::UNKNOWN_ANCHOR) return "YAML aliases are not supported; write the value out";
  // After the colon some messages repeat the input, which may be part of a secret.
  return "not YAML: " + message.substr(0, message.find(": "));
}

void Parse(std::string_view bytes, YamlTree& tree) {
  TreeBuilder builder(bytes, tree);
  try {
    std::istringstream in{std::string(bytes)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
    tree.whole = true;
  } catch (const Stop&) {  // NOLINT(bugprone-empty-catch): the builder has added the fault
  } catch (const YAML::Exception& error) {
    tree.faults.push_back({error.mark.is_null() ? 0 : error.mark.line + 1, Reason(error.msg)});
  } catch (const std::exception&) {
    tree.faults.push_back({0, "not YAML"});
  }
  if (!tree.whole) builder.CloseAll();
}

}  // namespace

std::string_view Describe(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kText: return "text";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a section";
  }
  return "nothing";
}

std::optional<size_t> FirstBadByte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Character next = FirstUtf8(text.substr(i));
    const bool white = next.code == '\t' || next.code == '\n' || next.code == '\r';
    if (!next.valid || (IsControl(next.code) && !white)) return i;
    i += next.size;
  }
  return std::nullopt;
}

YamlTree ParseYaml(std::string_view bytes) {
  YamlTree tree;
  if (const auto bad = FirstBadByte(bytes)) {
    const auto line = 1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*bad), '\n');
    tree.faults.push_back({static_cast<int>(line), "not text: a byte that is not UTF-8, or a control character"});
    return tree;
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  Parse(bytes, tree);
  if (tree.root.kind == YamlNode::Kind::kList || tree.root.kind == YamlNode::Kind::kText) {
    tree.faults.push_back(
        {tree.root.line, mi::format("a configuration is a section of keys, this is {}", Describe(tree.root.kind))});
    tree.root = YamlNode();
    tree.whole = false;
  }
  return tree;
}

}  // namespace mi::config
