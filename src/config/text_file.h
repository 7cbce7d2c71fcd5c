// Small files that people write: configurations and secrets.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace mi::config {

// The content of a regular file; never waits, as opening a FIFO would.
// Errors: kInvalid if the file is absent, cannot be read, or is larger than `limit`. The message holds the path and the
//         reason, nothing of the content.
Result<std::string> ReadSmallFile(const std::string& path, uint64_t limit);

}  // namespace mi::config
