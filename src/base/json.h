// Writing JSON text; reading it is codec's.
#pragma once

#include <string>
#include <string_view>

namespace mi {

// Appends `text` as a JSON string, quotes included (RFC 8259): '"', '\' and control characters escaped, other bytes as
// they stand. Requires valid UTF-8 for the result to be valid JSON: telemetry/printable.h makes it so.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace mi
