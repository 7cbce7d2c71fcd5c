// Text from outside made fit for one line: nothing in it can end the line, move a terminal's cursor or break JSON.
#pragma once

#include <string>
#include <string_view>

namespace mi::telemetry {

// Appends `message` as UTF-8 without control characters: a newline becomes "\n", other controls and bytes that are not
// UTF-8 become "\x1b". Backslashes stay as they are: this is for reading, not for parsing back.
void AppendPrintable(std::string_view message, std::string& line);

// Appends `message` as the inside of a JSON string. Bytes that are not UTF-8 become U+FFFD.
void AppendJsonEscaped(std::string_view message, std::string& line);

// `text` with every byte that is not UTF-8 replaced by U+FFFD.
std::string ToValidUtf8(std::string_view text);

}  // namespace mi::telemetry
