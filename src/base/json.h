// Writes JSON text. The codec room reads it.
#pragma once

#include <string>
#include <string_view>

namespace mi {

// Which characters are escaped besides those that must be: kTerminalSafe adds DEL and C1, which a terminal obeys.
enum class JsonEscapes { kRequired, kTerminalSafe };

// Appends `text` as a JSON string with its quotes (RFC 8259): '"', '\' and control characters are escaped, invalid
// UTF-8 becomes U+FFFD, everything else stays as it is.
void AppendJsonString(std::string_view text, std::string& out, JsonEscapes escapes = JsonEscapes::kRequired);

}  // namespace mi
