#include "forward/backoff.h"

#include <time.h>

#include <charconv>
#include <string>

namespace mi::forward {
namespace {

constexpr int64_t kMostSeconds = 300;

}  // namespace

std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value, int64_t now_s) {
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  const bool number = error == std::errc() && end == value.data() + value.size();
  if (!number) {
    tm date{};
    const std::string text(value);
    const char* rest = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
    if (rest == nullptr || *rest != '\0') return std::nullopt;
    seconds = timegm(&date) - now_s;
  }
  return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kMostSeconds));
}

}  // namespace mi::forward
