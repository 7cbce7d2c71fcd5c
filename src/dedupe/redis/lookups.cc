#include "dedupe/redis/lookups.h"

#include <algorithm>
#include <utility>

#include "base/format.h"

namespace mi::dedupe {
namespace {

using std::chrono::steady_clock;

// 16 bytes per series, and its labels. Beyond this, publishing is quicker than asking.
constexpr size_t kMaxWaitingKeys = 1'000'000;
// The memory of the requests that wait for the answers.
constexpr size_t kMaxWaitingBytes = 64UL << 20;

}  // namespace

RedisLookups::RedisLookups(size_t connections, RedisShared shared) : shared_(shared) {
  for (size_t i = 0; i < connections; ++i) threads_.emplace_back([this] { Run(); });
}

void RedisLookups::Add(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, SharedTier::Answer answer) {
  const size_t keys = fingerprints.size();
  Lookup lookup{std::move(fingerprints), held_bytes, std::move(answer), steady_clock::now() + shared_.options.timeout};
  if (keys == 0) return lookup.answer(std::vector<bool>());
  if (!shared_.health.up()) {
    if (const Status health = shared_.health.Get(); !health) return Refuse(lookup, health.error());
  }
  {
    const MutexLock lock(mutex_);
    // A look-up that is alone fits whatever its size: the request has bounds of its own.
    const bool fits = waiting_.empty() ||
                      (waiting_keys_ + keys <= kMaxWaitingKeys && waiting_bytes_ + held_bytes <= kMaxWaitingBytes);
    if (!stopping_ && fits) {
      waiting_keys_ += keys;
      waiting_bytes_ += held_bytes;
      waiting_.push_back(std::move(lookup));
      changed_.NotifyOne();
      return;
    }
  }
  Refuse(lookup, Error(Errc::kOverloaded, format("more than {} series or {} wait to be looked up in Redis",
                                                 kMaxWaitingKeys, FormatBytes(kMaxWaitingBytes))));
}

void RedisLookups::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  std::deque<Lookup> left;
  {
    const MutexLock lock(mutex_);
    left.swap(waiting_);
  }
  for (Lookup& lookup : left) Refuse(lookup, Error(Errc::kUnavailable, "the process is stopping"));
}

void RedisLookups::Run() {
  RedisConnection connection(shared_.options, shared_.stop);
  for (;;) {
    const size_t keys_per_command = shared_.write_options.Get()->flush_keys;
    Lookups batch;
    Lookups late;
    if (!Take(keys_per_command, batch, late)) return;
    for (Lookup& lookup : late) {
      Refuse(lookup, Error(Errc::kOverloaded, "too many series wait to be looked up in Redis"));
    }
    if (!batch.empty()) AnswerBatch(batch, connection, keys_per_command);
  }
}

// Waits for look-ups and takes the oldest: those of `batch` go to Redis together, up to `max_keys` series but at least
// one look-up. False at the stop.
//
// All of a batch are answered by the deadline of its first, which is the earliest, so each is answered within
// redis.timeout. A look-up that has spent half its time in the queue becomes `late` and is not sent: that is
// an overload of this queue. If it were sent and timed out, Redis would be taken for down, and everything
// would be published.
bool RedisLookups::Take(size_t max_keys, Lookups& batch, Lookups& late) {
  const MutexLock lock(mutex_);
  while (waiting_.empty() && !stopping_) changed_.Wait(mutex_);
  if (stopping_) return false;
  const auto earliest = steady_clock::now() + shared_.options.timeout / 2;
  while (!waiting_.empty() && waiting_.front().deadline < earliest) late.push_back(TakeFirst());
  size_t keys = 0;
  while (!waiting_.empty() && (keys == 0 || keys + waiting_.front().fingerprints.size() <= max_keys)) {
    keys += waiting_.front().fingerprints.size();
    batch.push_back(TakeFirst());
  }
  return true;
}

RedisLookups::Lookup RedisLookups::TakeFirst() {
  Lookup first = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_keys_ -= first.fingerprints.size();
  waiting_bytes_ -= first.held_bytes;
  return first;
}

void RedisLookups::AnswerBatch(Lookups& batch, RedisConnection& connection, size_t keys_per_command) {
  const auto refuse_all = [&](const Error& error) {
    for (Lookup& lookup : batch) Refuse(lookup, error);
  };
  // Redis went away while they waited: asking would make each wait for its timeout.
  if (!shared_.health.up()) {
    if (const Status health = shared_.health.Get(); !health) return refuse_all(health.error());
  }
  std::vector<model::Fingerprint> all;
  for (const Lookup& lookup : batch) all.insert(all.end(), lookup.fingerprints.begin(), lookup.fingerprints.end());
  const Result<std::vector<bool>> known = connection.Find(all, keys_per_command, batch.front().deadline);
  if (!known) {
    if (!shared_.stop.requested()) shared_.health.ReportFault(known.error());
    return refuse_all(known.error());
  }
  const auto found = std::ranges::count(*known, true);
  shared_.metrics.known.Add(static_cast<double>(found));
  shared_.metrics.unknown.Add(static_cast<double>(std::ssize(*known) - found));
  auto begin = known->begin();
  for (Lookup& lookup : batch) {
    const auto end = begin + std::ssize(lookup.fingerprints);
    lookup.answer(std::vector<bool>(begin, end));
    begin = end;
  }
}

void RedisLookups::Refuse(Lookup& lookup, const Error& error) {
  shared_.metrics.unanswered.Add(static_cast<double>(lookup.fingerprints.size()));
  lookup.answer(Fail(error));
}

}  // namespace mi::dedupe
