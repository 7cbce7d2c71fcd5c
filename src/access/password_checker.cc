#include "access/password_checker.h"

#include <crypt.h>

#include <utility>

namespace mi::access {
namespace {

constexpr size_t kMaxWaiting = 512;
constexpr size_t kMaxWaitingPerClient = 128;

}  // namespace

// The time must not tell how much of two hashes is equal.
bool MatchesBcrypt(const std::string& hash, const std::string& text) {
  if (text.find('\0') != std::string::npos) return false;  // crypt would stop there
  const auto state = std::make_unique<crypt_data>();       // 32 KiB
  const char* const made = crypt_r(text.c_str(), hash.c_str(), state.get());
  if (made == nullptr || hash.size() != std::string_view(made).size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < hash.size(); ++i) difference |= static_cast<unsigned char>(hash[i] ^ made[i]);
  explicit_bzero(state.get(), sizeof *state);
  return difference == 0;
}

PasswordChecker::PasswordChecker()
    : jobs_({.capacity = kMaxWaiting, .share = kMaxWaitingPerClient, .running_share = 1}), thread_([this] { Run(); }) {}

std::optional<bool> PasswordChecker::Remembered(const Password& password) const {
  const Digest digest = digest_({password.user, password.hash, password.text});
  MutexLock lock(mutex_);
  if (right_.Contains(digest)) return true;
  if (wrong_.Contains(digest)) return false;
  return std::nullopt;
}

bool PasswordChecker::TryCheck(std::string client, Password password, Done done) {
  Job job{std::move(password), std::move(done)};
  using Pushed = FairQueue<Job>::Pushed;
  switch (jobs_.TryPush({.client = std::move(client)}, std::move(job))) {
    case Pushed::kTaken: return true;
    case Pushed::kClosed:
    case Pushed::kFull:
    case Pushed::kShareIsFull: return false;
  }
  return false;
}

void PasswordChecker::Stop() {
  for (Job& job : jobs_.Close()) job.done(std::nullopt);
  if (thread_.joinable()) thread_.join();
}

// Senders that start together ask for the same password many times: all but the first find it remembered.
void PasswordChecker::Run() {
  while (auto turn = jobs_.Pop()) {
    const Password& password = turn->item.password;
    std::optional<bool> is_right = Remembered(password);
    if (!is_right) {
      is_right = MatchesBcrypt(password.hash, password.text);
      MutexLock lock(mutex_);
      (*is_right ? right_ : wrong_).Insert(digest_({password.user, password.hash, password.text}));
    }
    turn->item.done(is_right);
  }
}

}  // namespace mi::access
