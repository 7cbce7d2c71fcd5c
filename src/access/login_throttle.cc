#include "access/login_throttle.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace mi::access {
namespace {

// One machine has a whole network of IPv6 addresses: the first 64 bits count.
std::string NetworkOf(std::string_view address) {
  std::array<char, 16> bytes{};
  const std::string text(address);
  if (!text.contains(':') || inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return text;
  return {bytes.data(), 8};
}

}  // namespace

// A leaky bucket: an address is over its limit while its failures are forgiven later than kFreeFailures from now.
std::optional<std::chrono::seconds> LoginThrottle::Wait(std::string_view address, std::string_view credential) const {
  MutexLock lock(mutex_);
  if (forgiven_.empty()) return std::nullopt;
  const std::string network = NetworkOf(address);
  const auto found = forgiven_.find(network);
  if (found == forgiven_.end()) return std::nullopt;
  const auto over = found->second - clock_.Steady() - (kFreeFailures - 1) * kPerFailure;
  if (over <= std::chrono::seconds(0) || trusted_.contains(digest_({network, credential}))) return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(over);
}

void LoginThrottle::NoteFailure(std::string_view address) {
  const TimePoint now = clock_.Steady();
  MutexLock lock(mutex_);
  if (forgiven_.size() >= kMaxAddresses) MakeRoom();
  TimePoint& forgiven = forgiven_[NetworkOf(address)];
  forgiven = std::min(std::max(forgiven, now) + kPerFailure, now + kFreeFailures * kPerFailure);
}

void LoginThrottle::NoteSuccess(std::string_view address, std::string_view credential) {
  const Digest digest = digest_({NetworkOf(address), credential});
  MutexLock lock(mutex_);
  if (trusted_.size() >= kMaxTrusted && !trusted_.contains(digest)) trusted_.clear();
  trusted_.insert(digest);
}

// Forgets the addresses that are forgiven, or else all: an attacker who has so many is not slowed down by this table.
void LoginThrottle::MakeRoom() {
  const TimePoint now = clock_.Steady();
  std::erase_if(forgiven_, [&](const auto& entry) { return entry.second <= now; });
  if (forgiven_.size() >= kMaxAddresses) forgiven_.clear();
}

}  // namespace mi::access
