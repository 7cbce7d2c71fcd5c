// One value of one option: from text, and back.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/rows.h"

namespace mi::config {

// What the option wants, and what it got instead: "wants true or false, is 'maybe'". Names no value of a secret.
using ValueFault = std::string;

// `text` as it stands in YAML, an environment variable or a flag; lists are separated by commas. Not for the map of
// librdkafka. On a fault the slot keeps its value.
std::expected<void, ValueFault> SetFromText(const Row& row, const Slot& slot, std::string_view text);
std::expected<void, ValueFault> SetFromList(const Row& row, const Slot& slot, const std::vector<std::string>& items);

// What the option wants: "a whole number from 1 to 65535".
std::string Wants(const Row& row, const Slot& slot);

// As in YAML, on one line: "\"text\"", "7001", "32MiB", "[\"a\", \"b\"]". Not for maps.
std::string FormatYaml(const Row& row, const Slot& slot);
// As people write it: text without quotes.
std::string FormatPlain(const Row& row, const Slot& slot);

}  // namespace mi::config
