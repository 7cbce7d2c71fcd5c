#include "config/draft.h"

#include <algorithm>
#include <cassert>
#include <climits>
#include <optional>

#include "base/ascii.h"
#include "base/format.h"
#include "base/quote.h"
#include "config/nearest.h"
#include "config/text_file.h"
#include "config/value.h"

namespace mi::config {
namespace {

constexpr size_t kMaxFaults = 100;
constexpr uint64_t kMaxSecretBytes = 64 * kKiB;
constexpr std::string_view kKafkaOptions = "librdkafka.";
constexpr std::string_view kModeVariable = "METRIC_INDEX_ENV";  // chooses the file: loader.cc
constexpr std::string_view kKafkaVariablePrefix = "METRIC_INDEX_LIBRDKAFKA_";
constexpr std::string_view kFileSuffix = "_FILE";

bool IsKafkaOptionName(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || IsDigit(c) || c == '.' || c == '_' || c == '-';
  });
}

// A service called metric-index in Kubernetes puts variables of its own under our prefix into every pod
// (METRIC_INDEX_SERVICE_HOST, METRIC_INDEX_PORT=tcp://10.0.0.7:7001, …). They are neither options nor faults.
bool IsKubernetesService(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT")) return true;
  if (name.ends_with("_PORT"))
    return value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
  const size_t port = name.find("_PORT_");
  return port != std::string_view::npos && port + 6 < name.size() && IsDigit(name[port + 6]);
}

struct Variable {
  OptionRef ref;
  bool misspelled = false;
};

std::optional<Variable> FindVariable(std::string_view name) {
  for (const Row& row : Rows()) {
    if (row.path != "librdkafka" && EnvironmentName(row.path) == name) return Variable{{.row = &row}};
    for (const auto& [right, wrong] : Misspellings()) {
      std::string misspelled(row.path);
      if (misspelled != right && !misspelled.starts_with(std::string(right) + ".")) continue;
      misspelled.replace(right.size() - LastWord(right).size(), LastWord(right).size(), wrong);
      if (EnvironmentName(misspelled) == name) return Variable{{.row = &row}, true};
    }
  }
  if (!name.starts_with(kKafkaVariablePrefix) || name.size() == kKafkaVariablePrefix.size()) return std::nullopt;
  std::string option = ToLower(name.substr(kKafkaVariablePrefix.size()));
  std::ranges::replace(option, '_', '.');
  return Variable{{.row = FindRow("librdkafka"), .option = std::move(option)}};
}

}  // namespace

std::string Place::ToString() const { return line == 0 ? name : mi::format("{}:{}", name, line); }

std::string OptionRef::Path() const {
  if (!option.empty()) return mi::format("{}.{}", row->path, option);
  std::string path(row->path);
  const size_t brackets = path.find("[]");
  if (brackets != std::string::npos) path.insert(brackets + 1, mi::format("{}", element));
  return path;
}

OptionRef FindOption(std::string_view key) {
  if (key.starts_with(kKafkaOptions)) {
    return {.row = FindRow("librdkafka"), .option = std::string(key.substr(kKafkaOptions.size()))};
  }
  if (key == "librdkafka" || key.contains('[')) return {};
  return {.row = FindRow(CorrectSpelling(key))};
}

void Draft::Set(const OptionRef& ref, std::string_view text, const Place& where) {
  assert(ref.row != nullptr);
  const std::string path = ref.Path();
  const Member member = ref.row->member(config, ref.element);
  if (auto* const* options = std::get_if<std::map<std::string, std::string>*>(&member)) {
    if (!IsKafkaOptionName(ref.option)) {
      return AddFault(where, mi::format("{} is no name of a librdkafka option", Quoted(ref.option)));
    }
    if (FirstBadByte(text)) return AddFault(where, path + " wants text without control characters");
    (**options)[ref.option] = text;
  } else if (const auto set = SetFromText(*ref.row, member, text); !set) {
    return AddFault(where, mi::format("{} {}", path, set.error()));
  }
  origins.insert_or_assign(path, where);
}

void Draft::SetList(const OptionRef& ref, const std::vector<std::string>& items, const Place& where) {
  assert(ref.row != nullptr);
  const std::string path = ref.Path();
  const auto set = SetFromList(*ref.row, ref.row->member(config, ref.element), items);
  if (!set) return AddFault(where, mi::format("{} {}", path, set.error()));
  origins.insert_or_assign(path, where);
}

void Draft::SetOnlyElement(const OptionRef& ref, std::string_view text, const Place& where) {
  auto& elements = config.remote_write;
  if (ref.row->path.contains("[]")) {
    if (elements.empty()) elements.emplace_back();
    if (elements.size() > 1) {
      return AddFault(where, mi::format("the file lists {} of remote.write; change them there", elements.size()));
    }
  }
  Set(ref, text, where);
}

// Keeps the faults in the order of the lines of the file, those from elsewhere behind them, so that a person can walk
// through the file once. The number is bounded: a file that is no configuration at all has a fault in every line.
void Draft::AddFault(const Place& where, std::string_view text) {
  if (!HasRoomForFaults()) {
    ++uncollected_faults_;
    return;
  }
  const auto rank = [](const Place& place) { return place.line == 0 ? INT_MAX : place.line; };
  const auto at =
      std::ranges::upper_bound(faults_, rank(where), {}, [&](const Fault& fault) { return rank(fault.where); });
  faults_.insert(at, {where, std::string(text)});
}

bool Draft::HasRoomForFaults() const { return faults_.size() < kMaxFaults; }

Place Draft::OriginOf(const std::string& path) const {
  const auto at = origins.find(path);
  return at == origins.end() ? Place{"default"} : at->second;
}

Error Draft::Faults() const {
  assert(!ok());
  std::string message;
  for (const auto& [where, text] : faults_) {
    if (!message.empty()) message += '\n';
    message += mi::format("{}: {}", where.ToString(), text);
  }
  if (uncollected_faults_ > 0) message += mi::format("\nand {} more", uncollected_faults_);
  return {Errc::kInvalid, std::move(message)};
}

// ---- the file

// Walks the tree along the paths of the rows.
class Draft::YamlSource {
 public:
  YamlSource(const std::string& file_name, Draft& draft) : file_name_(file_name), draft_(draft) {}

  void ApplySection(const YamlNode& section, const std::string& path) {
    // Misspelled keys first: then the correct spelling overwrites them.
    for (const bool misspelled : {true, false}) {
      for (const YamlNode& child : section.children) {
        const std::string spelled = path.empty() ? child.key : path + "." + child.key;
        const std::string correct = CorrectSpelling(spelled);
        if ((correct != spelled) != misspelled) continue;
        if (misspelled) WarnOfBothSpellings(section, child, correct);
        // "app.port: 1" is not "port: 1" below "app:"; and no key looks like the [] of a row's path.
        const bool is_word = child.key.find_first_of(".[]") == std::string::npos;
        is_word ? ApplyKey(child, correct) : UnknownKey(child, correct);
      }
    }
  }

 private:
  using Kind = YamlNode::Kind;

  Place At(int line) const { return {file_name_, line}; }

  void WrongKind(const YamlNode& node, std::string_view path, std::string_view wants) {
    draft_.AddFault(At(node.line), mi::format("{} wants {} {}", path, wants, Describe(node.kind)));
  }

  void UnknownKey(const YamlNode& node, const std::string& path) {
    const Place where = At(node.key_line);
    // Finding the nearest key is slow, and further faults are not shown.
    if (!draft_.HasRoomForFaults()) return draft_.AddFault(where, "");
    const std::string hint = FindRow(path) == nullptr
                                 ? DidYouMeanKey(path)
                                 : mi::format(", write '{}:' and '{}:' below it", ParentOf(path), LastWord(path));
    draft_.AddFault(where, mi::format("unknown key {}{}", Quoted(path), hint));
  }

  void WarnOfBothSpellings(const YamlNode& section, const YamlNode& child, const std::string& correct) {
    for (const YamlNode& other : section.children) {
      if (other.key != LastWord(correct)) continue;
      draft_.warnings.push_back(mi::format("{}: {} and {} are both here; {} wins", At(child.key_line).ToString(),
                                           Quoted(child.key), Quoted(other.key), Quoted(other.key)));
    }
  }

  void ApplyKey(const YamlNode& node, const std::string& path) {
    const Row* row = FindRow(path);
    if (row == nullptr && !IsSection(path) && !IsList(path)) return UnknownKey(node, path);
    if (node.kind == Kind::kNull) return;  // nothing after the colon: the default stays
    if (path == "librdkafka") {
      ApplyKafkaOptions(node, *row);
    } else if (IsList(path)) {
      ApplyList(node, path);
    } else if (row != nullptr) {
      ApplyOption(node, {.row = row, .element = element_});
    } else if (node.kind == Kind::kMap) {
      ApplySection(node, path);
    } else {
      WrongKind(node, path, "a section of keys, is");
    }
  }

  void ApplyOption(const YamlNode& node, const OptionRef& ref) {
    if (node.kind == Kind::kText) return draft_.Set(ref, node.text, At(node.line));
    if (node.kind == Kind::kMap) {
      return WrongKind(node, ref.Path(), Wants(*ref.row, ref.row->member(draft_.config, ref.element)) + ", is");
    }
    std::vector<std::string> items;
    for (const YamlNode& item : node.children) {
      if (item.kind != Kind::kText) return WrongKind(item, ref.Path(), "text in its list, has");
      items.push_back(item.text);
    }
    draft_.SetList(ref, items, At(node.line));
  }

  // One section, or a list of sections; it replaces the default list as a whole.
  void ApplyList(const YamlNode& node, const std::string& path) {
    if (node.kind == Kind::kText) return WrongKind(node, path, "a section, or a list of them, is");
    auto& elements = draft_.config.remote_write;
    elements.assign(node.kind == Kind::kMap ? 1 : node.children.size(), forward::TargetOptions());
    if (node.kind == Kind::kMap) return ApplySection(node, path);
    for (const YamlNode& child : node.children) {
      if (child.kind == Kind::kMap) {
        ApplySection(child, path);
      } else if (child.kind != Kind::kNull) {
        WrongKind(child, path, "a section in its list, has");
      }
      ++element_;
    }
    element_ = 0;
  }

  void ApplyKafkaOptions(const YamlNode& node, const Row& row) {
    if (node.kind != Kind::kMap) return WrongKind(node, row.path, "a section of options, is");
    for (const YamlNode& child : node.children) {
      const OptionRef ref = {.row = &row, .option = child.key};
      if (child.kind == Kind::kText) {
        draft_.Set(ref, child.text, At(child.line));
      } else if (child.kind != Kind::kNull) {
        WrongKind(child, ref.Path(), "text, is");
      }
    }
  }

  const std::string& file_name_;
  Draft& draft_;
  size_t element_ = 0;  // of the list of sections that is being read
};

void Draft::ApplyYaml(const YamlTree& tree, const std::string& file_name) {
  for (const auto& [line, text] : tree.faults) AddFault({file_name, line}, text);
  YamlSource(file_name, *this).ApplySection(tree.root, "");
}

// ---- the environment

void Draft::ApplyEnvironment(const std::map<std::string, std::string>& environment) {
  for (const bool misspelled : {true, false}) {  // the correct spelling overwrites the other
    for (const auto& [name, value] : environment) {
      if (!name.starts_with(kVariablePrefix) || name == kModeVariable || IsKubernetesService(name, value)) continue;
      ApplyVariable(environment, name, value, misspelled);
    }
  }
}

void Draft::ApplyVariable(const std::map<std::string, std::string>& environment, const std::string& name,
                          const std::string& value, bool misspelled) {
  const bool names_file = name.ends_with(kFileSuffix) && !FindVariable(name);  // web.config_file is an option itself
  const std::string stem = names_file ? name.substr(0, name.size() - kFileSuffix.size()) : name;
  const auto variable = FindVariable(stem);
  if (!variable) {
    if (!misspelled) AddFault({name}, "no such option" + DidYouMeanVariable(stem));
    return;
  }
  if (variable->misspelled != misspelled) return;
  if (!names_file) return SetOnlyElement(variable->ref, value, {name});
  if (environment.contains(stem)) {
    return AddFault({name}, mi::format("{} is set too; which of the two is meant?", stem));
  }
  auto text = ReadSmallFile(value, kMaxSecretBytes);
  if (!text) return AddFault({name}, text.error().message());
  if (text->ends_with('\n')) text->pop_back();
  if (text->ends_with('\r')) text->pop_back();
  SetOnlyElement(variable->ref, *text, {name});
}

// ---- the command line

void Draft::ApplyCommandLine(const std::vector<std::pair<std::string, std::string>>& values) {
  const Place here{"command line"};
  for (const auto& [key, value] : values) {
    if (const OptionRef ref = FindOption(key); ref.row != nullptr) {
      SetOnlyElement(ref, value, here);
    } else if (key == "librdkafka") {
      AddFault(here, "librdkafka needs the name of an option: librdkafka.linger.ms");
    } else {
      AddFault(here, mi::format("unknown key {}{}", Quoted(key), DidYouMeanKey(key)));
    }
  }
}

}  // namespace mi::config
