// Files that get their name only when they are complete.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace mi {

// The folder in which a file is; "." for a bare name.
std::filesystem::path FolderOf(const std::string& file);

// After this, `to` has the content of `from`, also after a power cut. Requires: both are in one folder, and the content
// of `from` is synced. Errors: kUnavailable.
Status MoveIntoPlace(const std::string& from, const std::string& to);

}  // namespace mi
