#include "base/result.h"

namespace mi {

std::string_view ToString(Errc code) {
  switch (code) {
    case Errc::kInvalid: return "invalid";
    case Errc::kTooLarge: return "too large";
    case Errc::kOverloaded: return "overloaded";
    case Errc::kUnavailable: return "unavailable";
    case Errc::kCorrupt: return "corrupt";
    case Errc::kInternal: return "internal";
  }
  return "unknown";
}

bool IsWorthRepeating(Errc code) {
  switch (code) {
    case Errc::kInvalid:
    case Errc::kTooLarge: return false;
    case Errc::kOverloaded:
    case Errc::kUnavailable:
    case Errc::kCorrupt:
    case Errc::kInternal: return true;
  }
  return true;
}

Error Error::Within(std::string_view context) const {
  std::string message(context);
  message += ": ";
  message += message_;
  return {code_, std::move(message)};
}

}  // namespace mi
