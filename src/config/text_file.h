// Small files that people write: configurations and secrets.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace mi::config {

// Never waits: a FIFO is no file. Errors: kInvalid when the file is absent, cannot be read, or is larger than `limit`;
// the message holds the path and
//         the reason, nothing of the content.
Result<std::string> ReadSmallFile(const std::string& path, uint64_t limit);

}  // namespace mi::config
