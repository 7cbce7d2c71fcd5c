// What the world does to us: a value, or an error that says what the caller should do about it.
//
// Assertions are for what we did; exceptions stay inside the adapter whose library throws.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mi {

enum class Errc {
  kInvalid,      // the input can never succeed: tell its sender, do not retry
  kTooLarge,     // as kInvalid, because of a limit; the message names limit, value and knob
  kOverloaded,   // a bounded queue or budget is full: retry later
  kUnavailable,  // something we depend on is away: retry later
  kCorrupt,      // bytes that we or a peer stored do not check out
  kOutdated,     // what the caller rests on has changed behind its back: look again, then retry
  kInternal,     // a fault of ours
};

std::string_view ToString(Errc code);

// Whether the same input may succeed later.
bool IsWorthRepeating(Errc code);

class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}

  Errc code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same error, with what was being done in front: "open journal: disk full".
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

}  // namespace mi
