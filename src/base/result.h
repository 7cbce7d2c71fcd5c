// The result of what depends on the outside world: a value, or an error that tells the caller what to do.
//
// Our own mistakes are assertions instead. Exceptions of a library are caught in the adapter of that library.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mi {

enum class Errc {
  kInvalid,      // the input can never succeed: tell its sender, do not retry
  kTooLarge,     // like kInvalid, because of a limit; the message names the limit, the value and the option
  kOverloaded,   // a bounded queue or budget is full: retry later
  kUnavailable,  // a service or file that we depend on is away: retry later
  kCorrupt,      // stored bytes fail their checks
  kInternal,     // a mistake of ours
};

std::string_view ToString(Errc code);

// Whether the same input may succeed later.
bool IsWorthRepeating(Errc code);

class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}

  Errc code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same error with its context in front: "open journal: disk full".
  Error Within(std::string_view context) const;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  Errc code_;
  std::string message_;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> Fail(Errc code, std::string message) {
  return std::unexpected(Error(code, std::move(message)));
}
inline std::unexpected<Error> Fail(Error error) { return std::unexpected(std::move(error)); }

// The value of a Result as a new object: GCC 12 destroys what a reference from a statement expression refers to.
template <typename T, typename E>
T TakeValue(std::expected<T, E>&& result) {
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// TRY(expression) is the value of a Result, or returns its error from the enclosing function, whose type must be a
// Result or Status as well (or another std::expected with the same type of error). The Result is moved from.
//   TRY(file.Sync());
//   const int64_t size = TRY(file.Size());
// TRY_WITHIN(expression, "open journal") puts the context in front of the error's message.
// Both are statement expressions, which GCC and clang have. The counter keeps nested uses apart.
#define TRY(...) MI_TRY(__COUNTER__, , __VA_ARGS__)
#define TRY_WITHIN(expression, context) MI_TRY(__COUNTER__, .Within(context), expression)
#define MI_TRY(counter, within, ...) MI_TRY_NAMED(counter, within, __VA_ARGS__)
#define MI_TRY_NAMED(counter, within, ...)                                   \
  ({                                                                         \
    auto&& mi_result_##counter = (__VA_ARGS__);                              \
    if (!mi_result_##counter) [[unlikely]]                                   \
      return std::unexpected(std::move(mi_result_##counter).error() within); \
    ::mi::TakeValue(std::move(mi_result_##counter));                         \
  })

}  // namespace mi
