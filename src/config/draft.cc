#include "config/draft.h"

#include <algorithm>
#include <climits>

#include "base/format.h"
#include "config/nearest.h"
#include "config/quote.h"
#include "config/value.h"

namespace mi::config {
namespace {

constexpr size_t kMostFaults = 100;  // who reads more has another file in mind
constexpr std::string_view kKafkaOptions = "librdkafka.";

bool IsKafkaOptionName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace

std::string Place::ToString() const { return line == 0 ? name : mi::format("{}:{}", name, line); }

std::string Target::Path() const {
  if (!option.empty()) return mi::format("{}.{}", row->path, option);
  std::string path(row->path);
  const size_t brackets = path.find("[]");
  if (brackets != std::string::npos) path.insert(brackets + 1, mi::format("{}", element));
  return path;
}

Target FindTarget(std::string_view key) {
  Target target;
  if (key.starts_with(kKafkaOptions)) {
    target.option = key.substr(kKafkaOptions.size());
    key = "librdkafka";
  } else if (key == "librdkafka") {
    return target;
  }
  if (!key.contains('[')) target.row = FindRow(PutRight(key));
  return target;
}

void Draft::Set(const Target& target, std::string_view text, const Place& where) {
  const std::string path = target.Path();
  const Slot slot = target.row->slot(config, target.element);
  if (auto* const* options = std::get_if<std::map<std::string, std::string>*>(&slot)) {
    if (!IsKafkaOptionName(target.option)) {
      return AddFault(where, mi::format("{} is no name of a librdkafka option", Quoted(target.option)));
    }
    if (FirstBadByte(text)) return AddFault(where, path + " wants text without control characters");
    (**options)[target.option] = text;
  } else if (const auto set = SetFromText(*target.row, slot, text); !set) {
    return AddFault(where, mi::format("{} {}", path, set.error()));
  }
  origins.insert_or_assign(path, where);
}

void Draft::SetList(const Target& target, const std::vector<std::string>& items, const Place& where) {
  const std::string path = target.Path();
  const auto set = SetFromList(*target.row, target.row->slot(config, target.element), items);
  if (!set) return AddFault(where, mi::format("{} {}", path, set.error()));
  origins.insert_or_assign(path, where);
}

void Draft::AddFault(const Place& where, std::string_view text) {
  if (!HasRoomForFaults()) {
    ++more_faults_;
  } else {
    const auto rank = [](const Place& place) { return place.line == 0 ? INT_MAX : place.line; };
    const auto at = std::upper_bound(faults_.begin(), faults_.end(), rank(where),
                                     [&](int line, const PlacedFault& fault) { return line < rank(fault.where); });
    faults_.insert(at, {where, std::string(text)});
  }
}

bool Draft::HasRoomForFaults() const { return faults_.size() < kMostFaults; }

Place Draft::OriginOf(const std::string& path) const {
  const auto at = origins.find(path);
  return at == origins.end() ? Place("default") : at->second;
}

bool Draft::OnlyElement(const Target& target, const Place& where) {
  if (!target.row->path.contains("[]")) return true;
  if (config.remote.write.empty()) config.remote.write.emplace_back();
  if (config.remote.write.size() == 1) return true;
  AddFault(where, mi::format("the file lists {} of remote.write; change them there", config.remote.write.size()));
  return false;
}

Error Draft::Faults() const {
  std::string message;
  for (const auto& [where, text] : faults_) {
    if (!message.empty()) message += '\n';
    message += mi::format("{}: {}", where.ToString(), text);
  }
  if (more_faults_ > 0) message += mi::format("\nand {} more", more_faults_);
  return {Errc::kInvalid, std::move(message)};
}

void ApplyCommandLine(const std::vector<std::pair<std::string, std::string>>& values, Draft& draft) {
  for (const auto& [key, value] : values) {
    const Target target = FindTarget(key);
    if (key == "librdkafka") {
      draft.AddFault("command line", "librdkafka needs the name of an option: librdkafka.linger.ms");
      continue;
    }
    if (target.row == nullptr) {
      draft.AddFault("command line", mi::format("unknown key {}{}", Quoted(key), DidYouMean(NearestKey(key))));
      continue;
    }
    if (draft.OnlyElement(target, "command line")) draft.Set(target, value, "command line");
  }
}

}  // namespace mi::config
