// The version, the revision and the compiler of this build.
#pragma once

#include <string_view>

namespace mi::app::version {

extern const std::string_view kVersion;   // "0.1.0"
extern const std::string_view kRevision;  // of git, short; "unknown" outside a checkout
extern const std::string_view kCompiler;  // "GCC 12.2.0"

}  // namespace mi::app::version
