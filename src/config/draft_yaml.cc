// The file over the defaults.
#include "base/format.h"
#include "config/draft.h"
#include "config/nearest.h"
#include "config/quote.h"
#include "config/value.h"

namespace mi::config {
namespace {

using Kind = YamlNode::Kind;

class YamlSource {
 public:
  YamlSource(std::string_view name, Draft& draft) : name_(name), draft_(draft) {}

  void Section(const YamlNode& section, const std::string& path) {
    // Misspelled keys first, so that the correct spelling goes over them.
    for (const bool misspelled : {true, false}) {
      for (const YamlNode& child : section.children) {
        const std::string spelled = path.empty() ? child.key : path + "." + child.key;
        const std::string right = PutRight(spelled);
        if ((right != spelled) != misspelled) continue;
        if (misspelled) WarnOfBoth(section, child, right);
        if (IsWord(child.key)) {
          Key(child, right);
        } else {
          Unknown(child, right);
        }
      }
    }
  }

 private:
  Place Where(int line) const { return {name_, line}; }

  // app.port: 1 instead of a port below app is none of ours; nor is anything like a row's [].
  static bool IsWord(std::string_view key) { return key.find_first_of(".[]") == std::string_view::npos; }

  void Unknown(const YamlNode& node, const std::string& path) {
    const Place where = Where(node.key_line);
    // After a flood of faults no more are told, so none needs to be thought about.
    if (!draft_.HasRoomForFaults()) return draft_.AddFault(where, "");
    const bool dotted = FindRow(path) != nullptr;  // the words are known, their order is not YAML's
    draft_.AddFault(where,
                    mi::format("unknown key {}{}", Quoted(path),
                               dotted ? mi::format(", write '{}:' and '{}:' below it", ParentOf(path), LastWord(path))
                                      : DidYouMean(NearestKey(path))));
  }

  void WarnOfBoth(const YamlNode& section, const YamlNode& child, const std::string& right) {
    for (const YamlNode& other : section.children) {
      if (other.key != LastWord(right)) continue;
      draft_.warnings.push_back(mi::format("{}: {} and {} are both here; {} wins", Where(child.key_line).ToString(),
                                           Quoted(child.key), Quoted(other.key), Quoted(other.key)));
    }
  }

  void Key(const YamlNode& node, const std::string& path) {
    const Row* row = FindRow(path);
    if (path == "librdkafka") {
      KafkaOptions(node, *row);
    } else if (IsList(path)) {
      List(node, path);
    } else if (row != nullptr) {
      Option(node, {.row = row, .element = element_, .option = {}});
    } else if (IsSection(path)) {
      if (node.kind == Kind::kMap) {
        Section(node, path);
      } else if (node.kind != Kind::kNull) {
        draft_.AddFault(Where(node.line), mi::format("{} wants a section of keys, is {}", path, Describe(node.kind)));
      }
    } else {
      Unknown(node, path);
    }
  }

  // Nothing after the colon is as if the key were not there.
  void Option(const YamlNode& node, const Target& target) {
    const Place where = Where(node.line);
    switch (node.kind) {
      case Kind::kNull: return;
      case Kind::kText: return draft_.Set(target, node.text, where);
      case Kind::kList: return Texts(node, target);
      case Kind::kMap: break;
    }
    const auto slot = target.row->slot(draft_.config, target.element);
    draft_.AddFault(where, mi::format("{} wants {}, is a section", target.Path(), Wants(*target.row, slot)));
  }

  void Texts(const YamlNode& list, const Target& target) {
    std::vector<std::string> items;
    for (const YamlNode& item : list.children) {
      if (item.kind != Kind::kText) {
        return draft_.AddFault(Where(item.line),
                               mi::format("{} wants text in its list, has {}", target.Path(), Describe(item.kind)));
      }
      items.push_back(item.text);
    }
    draft_.SetList(target, items, Where(list.line));
  }

  // One section, or a list of them; it takes the place of the default as a whole.
  void List(const YamlNode& node, const std::string& path) {
    if (node.kind == Kind::kNull) return;
    if (node.kind == Kind::kText) {
      return draft_.AddFault(Where(node.line), path + " wants a section, or a list of them, is text");
    }
    auto& elements = draft_.config.remote.write;
    elements.assign(node.kind == Kind::kMap ? 1 : node.children.size(), RemoteWriteOptions());
    if (node.kind == Kind::kMap) return Element(node, path, 0);
    for (const YamlNode& child : node.children)
      Element(child, path, static_cast<size_t>(&child - node.children.data()));
  }

  void Element(const YamlNode& node, const std::string& path, size_t element) {
    if (node.kind == Kind::kNull) return;
    if (node.kind != Kind::kMap) {
      return draft_.AddFault(Where(node.line),
                             mi::format("{} wants a section in its list, has {}", path, Describe(node.kind)));
    }
    element_ = element;
    Section(node, path);
    element_ = 0;
  }

  void KafkaOptions(const YamlNode& node, const Row& row) {
    if (node.kind == Kind::kNull) return;
    if (node.kind != Kind::kMap) {
      return draft_.AddFault(Where(node.line),
                             mi::format("librdkafka wants a section of options, is {}", Describe(node.kind)));
    }
    for (const YamlNode& child : node.children) {
      const Target target = {.row = &row, .element = 0, .option = child.key};
      const Place where = Where(child.line);
      if (child.kind == Kind::kText) {
        draft_.Set(target, child.text, where);
      } else if (child.kind != Kind::kNull) {
        draft_.AddFault(where, mi::format("librdkafka.{} wants text, is {}", child.key, Describe(child.kind)));
      }
    }
  }

  const std::string name_;
  Draft& draft_;
  size_t element_ = 0;  // of the list of sections that is being read
};

}  // namespace

void ApplyYaml(const YamlTree& tree, std::string_view name, Draft& draft) {
  for (const Fault& fault : tree.faults) {
    draft.AddFault({std::string(name), fault.line}, fault.text);
  }
  YamlSource(name, draft).Section(tree.root, "");
}

}  // namespace mi::config
