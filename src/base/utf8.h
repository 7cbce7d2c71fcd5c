// UTF-8 by the table of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace mi {

struct Utf8Character {
  size_t size = 1;  // in bytes; 1 when it is none
  bool valid = false;
  char32_t code = 0;
};

// What stands in front of `text`. Requires: not empty.
Utf8Character FirstUtf8(std::string_view text);

bool IsValidUtf8(std::string_view text);

}  // namespace mi
