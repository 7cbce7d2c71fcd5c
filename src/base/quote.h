// Text from outside, made fit for messages and log lines.
#pragma once

#include <string>
#include <string_view>

namespace mi {

// For a message: 'text' in single quotes. Cut after 80 bytes; invalid bytes and control characters become '?'.
std::string Quoted(std::string_view text);

// Appends `text` as one line without control characters: a newline becomes "\n", a tab "\t", other controls and invalid
// bytes "\x1b". Backslashes stay as they are: the result is for reading, not for parsing back.
void AppendPrintable(std::string_view text, std::string& out);
std::string Printable(std::string_view text);

// A URL for people: what may be a user name and password, and the query, become "***".
std::string ShownUrl(std::string_view url);

// In double quotes, as Go's %q writes it; Prometheus' messages look like this. At most `characters` of the text.
std::string GoQuoted(std::string_view text, size_t characters = std::string_view::npos);
// The first character of `text` in single quotes; U+FFFD, as Go writes it, if there is none or an invalid byte.
std::string GoQuotedCharacter(std::string_view text);

}  // namespace mi
