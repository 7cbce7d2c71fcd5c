// Compares passwords with bcrypt hashes, which takes 50 to 100 ms of CPU time: on a thread of its own. Results are
// remembered by a keyed digest, so that a sender waits once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>

#include "access/digest.h"
#include "base/fair_queue.h"
#include "base/mutex.h"

namespace mi::access {

struct Password {
  std::string user;  // may be one that does not exist
  std::string hash;  // bcrypt
  std::string text;
};

// Threads: safe. Passwords that wait are bounded, in all and per client: further ones are refused.
class PasswordChecker {
 public:
  // Called once, on the checker's thread, or by Stop() with nothing.
  using Done = std::move_only_function<void(std::optional<bool> is_right)>;

  PasswordChecker();
  ~PasswordChecker() { Stop(); }
  PasswordChecker(const PasswordChecker&) = delete;
  PasswordChecker& operator=(const PasswordChecker&) = delete;

  // Nothing if it has to be computed.
  std::optional<bool> Remembered(const Password& password) const EXCLUDES(mutex_);
  // Returns false if too many wait already, of this client or in all, or after Stop(). `client`: whose turn it is.
  bool TryCheck(std::string client, Password password, Done done);
  // Idempotent. Passwords that wait get nothing.
  void Stop();

 private:
  struct Job {
    Password password;
    Done done;
  };
  // Bounded: forgets everything when it is full.
  class Memory {
   public:
    void Insert(const Digest& digest) {
      if (digests_.size() >= kMost) digests_.clear();
      digests_.insert(digest);
    }
    bool Contains(const Digest& digest) const { return digests_.contains(digest); }

   private:
    static constexpr size_t kMost = 10'000;
    std::unordered_set<Digest, DigestHash> digests_;
  };

  void Run();

  const KeyedDigest digest_;
  FairQueue<Job> jobs_;
  mutable Mutex mutex_;
  // Two, so that wrong passwords cannot make it forget right ones.
  Memory right_ GUARDED_BY(mutex_);
  Memory wrong_ GUARDED_BY(mutex_);
  std::thread thread_;
};

// Whether bcrypt makes `hash` of the text. Bytes after the 72nd do not count.
bool MatchesBcrypt(const std::string& hash, const std::string& text);

}  // namespace mi::access
