#include "config/value.h"

#include <algorithm>
#include <cassert>
#include <concepts>
#include <optional>
#include <type_traits>

#include "base/ascii.h"
#include "base/format.h"
#include "base/quantity.h"
#include "base/quote.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

using Outcome = std::expected<void, ValueFault>;
using List = std::vector<std::string>;

constexpr std::string_view kMisspelledConsumer = "consummer";  // app.role_type of the service before this one

// The kinds of members besides std::string, bool, List and the map of librdkafka.
template <typename T>
constexpr bool kIsNumber = std::same_as<T, uint16_t> || std::same_as<T, uint64_t> || std::same_as<T, milliseconds>;
template <typename T>
constexpr bool kIsChoice = std::same_as<T, uint8_t>;

constexpr uint64_t kMsPerSecond = 1000;

// The number that a row's range speaks of: milliseconds for durations. A plain number of a row in seconds
// (confirm_after_s) holds whole seconds.
template <typename T>
uint64_t NumberOf(const Row& row, T value) {
  if constexpr (std::same_as<T, milliseconds>) {
    return static_cast<uint64_t>(value.count());
  } else {
    return row.unit == Unit::kSeconds ? value * kMsPerSecond : value;
  }
}

template <typename T>
T ToMember(const Row& row, uint64_t number) {
  return static_cast<T>(row.unit == Unit::kSeconds && !std::same_as<T, milliseconds> ? number / kMsPerSecond : number);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    parts.push_back(TrimSpace(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// "a, b, c"
std::string Joined(const auto& parts) {
  std::string joined;
  for (const auto& part : parts) {
    if (!joined.empty()) joined += ", ";
    joined += part;
  }
  return joined;
}

std::string OneOf(const Row& row) { return "one of " + Joined(Split(row.choices, '|')); }

std::optional<uint64_t> ParseNumber(Unit unit, std::string_view text) {
  switch (unit) {
    case Unit::kNone: return ParseWhole(text);
    case Unit::kBytes: return ParseBytes(text);
    case Unit::kDuration:
    case Unit::kSeconds: return ParseDuration(text);
  }
  return std::nullopt;
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

std::string WantsNumber(const Row& row) {
  const std::string from = WriteNumber(row.unit, row.min);
  const std::string range = row.max == UINT64_MAX ? mi::format("from {}", from)
                                                  : mi::format("from {} to {}", from, WriteNumber(row.unit, row.max));
  switch (row.unit) {
    case Unit::kNone: return "a whole number " + range;
    case Unit::kBytes: return "bytes " + range + " (as 1048576 or 1MiB)";
    case Unit::kDuration: return "a duration " + range + " (as 20s or 5m)";
    case Unit::kSeconds: return "seconds " + range + " (as 1800 or 30m)";
  }
  return {};
}

std::unexpected<ValueFault> Refuse(const Row& row, std::string_view wants, std::string_view text) {
  if (row.secret == Secret::kYes) return std::unexpected(mi::format("wants {}", wants));
  return std::unexpected(mi::format("wants {}, is {}", wants, Quoted(HoldsUrl(row) ? ShownUrl(text) : text)));
}

bool IsOneLine(std::string_view text) { return text.find_first_of("\t\n\r") == text.npos && !FirstBadByte(text); }

// What the option wants instead of `text`; '' if the text is legal.
std::string FaultOfText(const Row& row, std::string_view text) {
  if (!IsOneLine(text)) return "text on one line, without control characters";
  const auto choices = Split(row.choices, '|');
  if (!choices.empty() && std::ranges::find(choices, text) == choices.end()) return OneOf(row);
  return row.check == nullptr ? std::string() : std::string(row.check(text));
}

std::optional<bool> ParseFlag(std::string_view text) {
  const std::string lower = ToLower(text);
  if (lower == "true" || lower == "yes" || lower == "on" || lower == "1") return true;
  if (lower == "false" || lower == "no" || lower == "off" || lower == "0") return false;
  return std::nullopt;
}

}  // namespace

Outcome SetFromText(const Row& row, const Member& member, std::string_view text) {
  const auto set = [&]<typename T>(T* value) -> Outcome {
    if constexpr (std::same_as<T, std::string>) {
      if (const auto fault = FaultOfText(row, text); !fault.empty()) return Refuse(row, fault, text);
      *value = text;
    } else if constexpr (std::same_as<T, bool>) {
      const auto flag = ParseFlag(text);
      if (!flag) return Refuse(row, "true or false", text);
      *value = *flag;
    } else if constexpr (kIsNumber<T>) {
      const auto number = ParseNumber(row.unit, text);
      if (!number || *number < row.min || *number > row.max) return Refuse(row, WantsNumber(row), text);
      *value = ToMember<T>(row, *number);
    } else if constexpr (kIsChoice<T>) {
      const auto choices = Split(row.choices, '|');
      const auto at = std::ranges::find(choices, text == kMisspelledConsumer ? "consumer" : text);
      if (at == choices.end()) return Refuse(row, OneOf(row), text);
      *value = static_cast<T>(at - choices.begin());
    } else if constexpr (std::same_as<T, List>) {
      const auto parts = Split(text, ',');
      return SetFromList(row, member, {parts.begin(), parts.end()});
    } else {
      return Refuse(row, "a section of options", text);
    }
    return {};
  };
  return std::visit(set, member);
}

Outcome SetFromList(const Row& row, const Member& member, const List& items) {
  auto* const* list = std::get_if<List*>(&member);
  if (list == nullptr) return std::unexpected(mi::format("wants {}, is a list", Wants(row, member)));
  for (const auto& item : items) {
    if (const auto fault = FaultOfText(row, item); !fault.empty()) return Refuse(row, "a list, each " + fault, item);
  }
  **list = items;
  return {};
}

std::string Wants(const Row& row, const Member& member) {
  const auto wants = [&]<typename T>(T*) -> std::string {
    if constexpr (std::same_as<T, std::string>) {
      return row.choices.empty() ? "text" : OneOf(row);
    } else if constexpr (std::same_as<T, bool>) {
      return "true or false";
    } else if constexpr (kIsNumber<T>) {
      return WantsNumber(row);
    } else if constexpr (kIsChoice<T>) {
      return OneOf(row);
    } else if constexpr (std::same_as<T, List>) {
      return mi::format("a list of {}", row.check == nullptr ? "text" : row.check(""));
    } else {
      return "a section of options";
    }
  };
  return std::visit(wants, member);
}

std::string FormatPlain(const Row& row, const Member& member) {
  const auto plain = [&]<typename T>(T* value) -> std::string {
    if constexpr (std::same_as<T, std::string>) {
      return *value;
    } else if constexpr (std::same_as<T, bool>) {
      return *value ? "true" : "false";
    } else if constexpr (kIsNumber<T>) {
      return WriteNumber(row.unit, NumberOf(row, *value));
    } else if constexpr (kIsChoice<T>) {
      return std::string(Split(row.choices, '|').at(*value));
    } else if constexpr (std::same_as<T, List>) {
      return Joined(*value);
    } else {
      return "";
    }
  };
  return std::visit(plain, member);
}

std::string FormatYaml(const Row& row, const Member& member) {
  if (auto* const* text = std::get_if<std::string*>(&member)) return YamlQuoted(**text);
  if (auto* const* list = std::get_if<List*>(&member)) {
    List quoted;
    for (const auto& item : **list) quoted.push_back(YamlQuoted(item));
    return "[" + Joined(quoted) + "]";
  }
  const bool quoted = std::holds_alternative<uint8_t*>(member) && row.path != "app.role_type";  // as ever
  return quoted ? YamlQuoted(FormatPlain(row, member)) : FormatPlain(row, member);
}

std::string YamlQuoted(std::string_view text) {
  assert(!FirstBadByte(text));
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': quoted += "\\\""; break;
      case '\\': quoted += "\\\\"; break;
      case '\n': quoted += "\\n"; break;
      case '\r': quoted += "\\r"; break;
      case '\t': quoted += "\\t"; break;
      default: quoted += c;
    }
  }
  quoted += '"';
  return quoted;
}

}  // namespace mi::config
