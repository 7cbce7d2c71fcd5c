// Slows down addresses from which logins fail again and again, so that nobody tries passwords at full speed.
//
// An address may fail a few times, and then once in a while. In the meantime its logins are refused without a check,
// right or wrong: otherwise the difference would tell which guess was right. Credentials that have logged in from this
// address before still may, so one wrong sender behind a proxy does not lock out the others.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "access/digest.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace mi::access {

// Threads: safe. Memory: bounded, about 10 MB.
class LoginThrottle {
 public:
  static constexpr int kFreeFailures = 10;
  static constexpr std::chrono::seconds kPerFailure{3};  // after the free ones
  static constexpr size_t kMaxAddresses = 10'000;
  static constexpr size_t kMaxTrusted = 50'000;

  explicit LoginThrottle(const Clock& clock) : clock_(clock) {}

  // How long a login with this credential must wait. Nothing: it may be checked.
  std::optional<std::chrono::seconds> Wait(std::string_view address, std::string_view credential) const
      EXCLUDES(mutex_);
  void NoteFailure(std::string_view address) EXCLUDES(mutex_);
  void NoteSuccess(std::string_view address, std::string_view credential) EXCLUDES(mutex_);
  // Addresses that it remembers.
  size_t size() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return forgiven_.size();
  }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  void MakeRoom() REQUIRES(mutex_);

  const Clock& clock_;
  const KeyedDigest digest_;
  mutable Mutex mutex_;
  // When all failures of an address are forgiven: each adds kPerFailure.
  std::unordered_map<std::string, TimePoint> forgiven_ GUARDED_BY(mutex_);
  std::unordered_set<Digest, DigestHash> trusted_ GUARDED_BY(mutex_);  // of address and credential
};

}  // namespace mi::access
