// A failed Status from a text. Not inline: GCC 12 sees array bounds where a literal is made a string in place.
#pragma once

#include <string_view>

#include "base/result.h"

namespace mi::forward {

Status Failure(Errc code, std::string_view message);

}  // namespace mi::forward
