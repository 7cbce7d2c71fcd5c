#include "dedupe/redis/writes.h"

#include <algorithm>

namespace mi::dedupe {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// 24 bytes per series: about a minute of a million new series per minute while Redis is away.
constexpr size_t kMaxWaiting = 1'000'000;

// expire − spread + random(spread), so that series that were new at the same time do not expire at the same time.
seconds LifetimeOf(const RedisWriteOptions& options, std::mt19937_64& random) {
  const int64_t spread = std::chrono::duration_cast<seconds>(options.spread).count();
  const int64_t shorter = spread == 0 ? 0 : std::uniform_int_distribution<int64_t>(1, spread)(random);
  return std::max(std::chrono::duration_cast<seconds>(options.expire) - seconds(shorter), seconds(1));
}

}  // namespace

RedisWrites::RedisWrites(size_t connections, RedisShared shared) : shared_(shared) { Resize(connections); }

void RedisWrites::Add(std::span<const model::Fingerprint> fingerprints) {
  const auto flush_by = steady_clock::now() + shared_.write_options.Get()->flush_interval;
  size_t added = 0;
  {
    const MutexLock lock(mutex_);
    if (!stopping_) added = std::min(fingerprints.size(), kMaxWaiting - waiting_.size());
    for (const model::Fingerprint fingerprint : fingerprints.first(added)) waiting_.push_back({fingerprint, flush_by});
  }
  changed_.NotifyAll();
  if (added < fingerprints.size()) Drop(fingerprints.size() - added);
}

void RedisWrites::Resize(size_t connections) {
  {
    const MutexLock lock(mutex_);
    connections_ = connections;
  }
  changed_.NotifyAll();
  while (threads_.size() < connections) {
    threads_.emplace_back([this, number = threads_.size()] { Run(number); });
  }
}

void RedisWrites::Drain(steady_clock::time_point deadline) {
  const MutexLock lock(mutex_);
  draining_ = true;
  changed_.NotifyAll();
  while ((busy_ > 0 || !waiting_.empty()) && shared_.health.up()) {
    if (!changed_.WaitUntil(mutex_, deadline)) return;
  }
}

void RedisWrites::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  const MutexLock lock(mutex_);
  Drop(waiting_.size());
  waiting_.clear();
}

void RedisWrites::Run(size_t number) {
  RedisConnection connection(shared_.options, shared_.stop);
  std::mt19937_64 random(std::random_device{}());
  for (;;) {
    const Fingerprints pipeline = Take(number, connection);
    if (pipeline.empty()) return;
    Write(pipeline, connection, random);
    {
      const MutexLock lock(mutex_);
      --busy_;
    }
    changed_.NotifyAll();
  }
}

bool RedisWrites::ReadyToFlush() {
  if (waiting_.empty()) return false;
  // While no pipeline is under way there is nothing to wait for: more series gather during this one.
  return busy_ == 0 || draining_ || waiting_.size() >= shared_.write_options.Get()->flush_keys ||
         steady_clock::now() >= waiting_.front().flush_by;
}

// The next pipeline; empty at the stop.
RedisWrites::Fingerprints RedisWrites::Take(size_t number, RedisConnection& connection) {
  const MutexLock lock(mutex_);
  while (!stopping_) {
    if (number >= connections_) {
      connection.Close();
      changed_.Wait(mutex_);
    } else if (ReadyToFlush()) {
      const size_t count = std::min<size_t>(waiting_.size(), shared_.write_options.Get()->flush_keys);
      const auto end = waiting_.begin() + static_cast<ptrdiff_t>(count);
      Fingerprints pipeline;
      pipeline.reserve(count);
      for (auto at = waiting_.begin(); at != end; ++at) pipeline.push_back(at->fingerprint);
      waiting_.erase(waiting_.begin(), end);
      ++busy_;
      return pipeline;
    } else if (waiting_.empty()) {
      changed_.Wait(mutex_);
    } else {
      changed_.WaitUntil(mutex_, waiting_.front().flush_by);
    }
  }
  return {};
}

// Repeats the pipeline whenever Redis comes back, until Redis accepts or refuses it, or the process stops.
void RedisWrites::Write(const Fingerprints& pipeline, RedisConnection& connection, std::mt19937_64& random) {
  while (shared_.health.AwaitUp()) {
    const auto options = shared_.write_options.Get();
    std::vector<seconds> lifetimes(options->expires ? pipeline.size() : 0);
    for (seconds& lifetime : lifetimes) lifetime = LifetimeOf(*options, random);
    const Status written = connection.Store(pipeline, lifetimes, steady_clock::now() + shared_.options.timeout);
    const bool answered = written || written.error().code() != Errc::kUnavailable;
    if (answered) {
      shared_.health.ReportWrite(written);
      if (!written) break;
      return;
    }
    shared_.health.ReportFault(written.error());
  }
  Drop(pipeline.size());
}

}  // namespace mi::dedupe
