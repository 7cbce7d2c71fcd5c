// Text from outside in messages and in YAML.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace mi::config {

// In a message: 'text', cut to a readable length, without what a terminal would obey.
std::string Quoted(std::string_view text);
// A url, good or bad, for people: what may be user and password, and the query, as ***.
std::string ShownUrl(std::string_view url);
// As a YAML scalar in double quotes.
std::string YamlQuoted(std::string_view text);
// Where `text` stops being UTF-8 without control characters; tab, newline and carriage return may be in it.
std::optional<size_t> FirstBadByte(std::string_view text);
// Whether it could stand as one line: none of those three either.
bool IsOneLine(std::string_view text);

}  // namespace mi::config
