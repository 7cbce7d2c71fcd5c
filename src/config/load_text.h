// Load, for one who has read the file already.
#pragma once

#include <string_view>

#include "base/result.h"
#include "config/loader.h"

namespace mi::config {

// As Load(sources), with `text` for the content of sources.file. Requires: sources.file.
Result<Loaded> LoadWithText(const Sources& sources, std::string_view text);

}  // namespace mi::config
