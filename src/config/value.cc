#include "config/value.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <type_traits>

#include "base/format.h"
#include "config/numbers.h"
#include "config/quote.h"

namespace mi::config {
namespace {

using Outcome = std::expected<void, ValueFault>;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    auto part = text.substr(0, end);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    parts.push_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string AsList(std::string_view choices) {
  std::string list;
  for (const auto choice : Split(choices, '|')) {
    if (!list.empty()) list += ", ";
    list += choice;
  }
  return list;
}

std::string WriteNumber(Unit unit, uint64_t number) {
  switch (unit) {
    case Unit::kNone: return mi::format("{}", number);
    case Unit::kBytes: return WriteBytes(number);
    case Unit::kDuration: return WriteDuration(number);
    case Unit::kSeconds: return WriteSeconds(number);
  }
  return {};
}

std::unexpected<ValueFault> Refuse(const Row& row, std::string_view wants, std::string_view text) {
  if (row.secret == Secret::kYes) return std::unexpected(mi::format("wants {}", wants));
  return std::unexpected(mi::format("wants {}, is {}", wants, Quoted(HoldsUrl(row) ? ShownUrl(text) : text)));
}

// '' where the text will do.
std::string FaultOfText(const Row& row, std::string_view text) {
  if (!IsOneLine(text)) return "text on one line, without control characters";
  if (!row.choices.empty()) {
    const auto choices = Split(row.choices, '|');
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) return "one of " + AsList(row.choices);
  }
  return row.check == nullptr ? std::string() : std::string(row.check(text));
}

std::optional<bool> ParseFlag(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower == "true" || lower == "yes" || lower == "on" || lower == "1") return true;
  if (lower == "false" || lower == "no" || lower == "off" || lower == "0") return false;
  return std::nullopt;
}

std::optional<Role> ParseRole(std::string_view text) {
  if (text == "consummer") return Role::kConsumer;
  for (const Role role : {Role::kStandalone, Role::kProducer, Role::kConsumer, Role::kQuery, Role::kAll}) {
    if (text == ToString(role)) return role;
  }
  return std::nullopt;
}

std::optional<uint64_t> ParseNumber(Unit unit, std::string_view text) {
  switch (unit) {
    case Unit::kNone: return ParseWhole(text);
    case Unit::kBytes: return ParseBytes(text);
    case Unit::kDuration:
    case Unit::kSeconds: return ParseDuration(text);
  }
  return std::nullopt;
}

std::string WantsNumber(const Row& row) {
  const auto limit = [&](uint64_t number) { return WriteNumber(row.unit, number); };
  const std::string range = row.max == UINT64_MAX ? mi::format("from {}", limit(row.min))
                                                  : mi::format("from {} to {}", limit(row.min), limit(row.max));
  switch (row.unit) {
    case Unit::kNone: return "a whole number " + range;
    case Unit::kBytes: return "bytes " + range + " (as 1048576 or 1MiB)";
    case Unit::kDuration: return "a duration " + range + " (as 20s or 5m)";
    case Unit::kSeconds: return "seconds " + range + " (as 1800 or 30m)";
  }
  return {};
}

}  // namespace

Outcome SetFromText(const Row& row, const Slot& slot, std::string_view text) {
  const auto number = [&]() -> std::expected<uint64_t, ValueFault> {
    const auto parsed = ParseNumber(row.unit, text);
    if (!parsed || *parsed < row.min || *parsed > row.max) return Refuse(row, WantsNumber(row), text);
    return *parsed;
  };
  return std::visit(
      Overloaded{
          [&](std::string* value) -> Outcome {
            if (const auto fault = FaultOfText(row, text); !fault.empty()) return Refuse(row, fault, text);
            *value = text;
            return {};
          },
          [&](bool* value) -> Outcome {
            const auto parsed = ParseFlag(text);
            if (!parsed) return Refuse(row, "true or false", text);
            *value = *parsed;
            return {};
          },
          [&](uint64_t* value) -> Outcome {
            const auto parsed = number();
            if (!parsed) return std::unexpected(parsed.error());
            *value = *parsed;
            return {};
          },
          [&](milliseconds* value) -> Outcome {
            const auto parsed = number();
            if (!parsed) return std::unexpected(parsed.error());
            *value = milliseconds(*parsed);
            return {};
          },
          [&](Role* value) -> Outcome {
            const auto parsed = ParseRole(text);
            if (!parsed) return Refuse(row, "one of " + AsList(row.choices), text);
            *value = *parsed;
            return {};
          },
          [&](std::vector<std::string>*) -> Outcome {
            const auto parts = Split(text, ',');
            return SetFromList(row, slot, {parts.begin(), parts.end()});
          },
          [&](std::map<std::string, std::string>*) -> Outcome { return Refuse(row, "a section of options", text); },
      },
      slot);
}

Outcome SetFromList(const Row& row, const Slot& slot, const std::vector<std::string>& items) {
  auto* const* list = std::get_if<std::vector<std::string>*>(&slot);
  if (list == nullptr) return std::unexpected(mi::format("wants {}, is a list", Wants(row, slot)));
  for (const auto& item : items) {
    if (const auto fault = FaultOfText(row, item); !fault.empty()) return Refuse(row, "a list, each " + fault, item);
  }
  **list = items;
  return {};
}

std::string Wants(const Row& row, const Slot& slot) {
  return std::visit(
      Overloaded{
          [&](std::string*) -> std::string { return row.choices.empty() ? "text" : "one of " + AsList(row.choices); },
          [](bool*) -> std::string { return "true or false"; },
          [&](uint64_t*) { return WantsNumber(row); },
          [&](milliseconds*) { return WantsNumber(row); },
          [&](Role*) { return "one of " + AsList(row.choices); },
          [&](std::vector<std::string>*) -> std::string {
            const auto each = row.check == nullptr ? "text" : row.check("");
            return mi::format("a list of {}", each);
          },
          [](std::map<std::string, std::string>*) -> std::string { return "a section of options"; },
      },
      slot);
}

std::string FormatPlain(const Row& row, const Slot& slot) {
  return std::visit(
      Overloaded{
          [](const std::string* value) { return *value; },
          [](const bool* value) -> std::string { return *value ? "true" : "false"; },
          [&](const uint64_t* value) { return WriteNumber(row.unit, *value); },
          [&](const milliseconds* value) { return WriteNumber(row.unit, static_cast<uint64_t>(value->count())); },
          [](const Role* value) { return std::string(ToString(*value)); },
          [](const std::vector<std::string>* value) {
            std::string text;
            for (const auto& item : *value) {
              if (!text.empty()) text += ", ";
              text += item;
            }
            return text;
          },
          [](const std::map<std::string, std::string>*) { return std::string(); },
      },
      slot);
}

std::string FormatYaml(const Row& row, const Slot& slot) {
  if (auto* const* text = std::get_if<std::string*>(&slot)) return YamlQuoted(**text);
  if (auto* const* list = std::get_if<std::vector<std::string>*>(&slot)) {
    std::string yaml = "[";
    for (const auto& item : **list) {
      if (yaml.size() > 1) yaml += ", ";
      yaml += YamlQuoted(item);
    }
    return yaml + "]";
  }
  return FormatPlain(row, slot);
}

}  // namespace mi::config
