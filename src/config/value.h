// One value of one option: from text, and back.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/rows.h"

namespace mi::config {

// What the option wants and what it got: "wants true or false, is 'maybe'". Holds no value of a secret.
using ValueFault = std::string;

// `text` as it stands in YAML, an environment variable or a flag; lists are separated by commas. After a fault the
// member keeps its value. Not for the map of librdkafka.
std::expected<void, ValueFault> SetFromText(const Row& row, const Member& member, std::string_view text);
std::expected<void, ValueFault> SetFromList(const Row& row, const Member& member,
                                            const std::vector<std::string>& items);

// What the option wants: "a whole number from 1 to 65535".
std::string Wants(const Row& row, const Member& member);

// As in YAML, on one line: "\"text\"", "7001", "32MiB", "[\"a\", \"b\"]". Not for maps.
std::string FormatYaml(const Row& row, const Member& member);
// As people write it: text without quotes.
std::string FormatPlain(const Row& row, const Member& member);

// A YAML scalar in double quotes. Requires: no control characters but tab, newline and carriage return.
std::string YamlQuoted(std::string_view text);

}  // namespace mi::config
