#include "dedupe/redis/tier.h"

#include <algorithm>
#include <deque>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/mutex.h"
#include "dedupe/redis/connection.h"

namespace mi::dedupe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Fingerprints = std::vector<model::Fingerprint>;

// Look-ups are pipelined: one connection takes hundreds of thousands of keys per second.
constexpr uint64_t kMaxLookupConnections = 4;
// 16 bytes per series, and its labels. Beyond this, publishing is quicker than asking.
constexpr size_t kMaxLookupKeys = 1'000'000;
// The memory of the requests that wait for the answers.
constexpr size_t kMaxLookupBytes = 64UL << 20;
// 24 bytes per series: about a minute of a million new series per minute while Redis is away.
constexpr size_t kMaxWrites = 1'000'000;

size_t LookupConnections(const RedisOptions& options) {
  return std::clamp<uint64_t>(options.pool_size / 4, 1, kMaxLookupConnections);
}

// What the look-ups and the probe leave of the pool.
size_t WriteConnections(const RedisOptions& options, const RedisWriteOptions& write_options) {
  const uint64_t others = LookupConnections(options) + 1;
  const uint64_t left = options.pool_size > others ? options.pool_size - others : 1;
  return std::clamp<uint64_t>(write_options.workers, 1, left);
}

// expire − spread + random(spread), so that series that were new at the same time do not expire at the same time.
seconds LifetimeOf(const RedisWriteOptions& options, std::mt19937_64& random) {
  const int64_t spread = std::chrono::duration_cast<seconds>(options.spread).count();
  const int64_t shorter = spread == 0 ? 0 : std::uniform_int_distribution<int64_t>(1, spread)(random);
  return std::max(std::chrono::duration_cast<seconds>(options.expire) - seconds(shorter), seconds(1));
}

}  // namespace

// Asks for the series of several requests together, in pipelined MGETs.
// Threads: safe. One thread per connection; it also gives the answers.
class RedisTier::Lookups {
 public:
  explicit Lookups(RedisTier& tier);

  void Add(Fingerprints fingerprints, size_t held_bytes, Answer answer) EXCLUDES(mutex_);
  // Ends the threads and answers what waits with an error. Request `stop_lookups_` before, or Stop() waits for the
  // look-ups that are under way. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Pending {
    Fingerprints fingerprints;
    size_t held_bytes;
    Answer answer;
    RedisConnection::Deadline deadline;
  };

  void Run() EXCLUDES(mutex_);
  bool Take(size_t max_keys, std::vector<Pending>& batch, std::vector<Pending>& late) EXCLUDES(mutex_);
  Pending TakeFirst() REQUIRES(mutex_);
  void AnswerBatch(std::vector<Pending>& batch, RedisConnection& connection, size_t keys_per_command);
  void Refuse(Pending& lookup, const Error& error);

  RedisTier& tier_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Pending> waiting_ GUARDED_BY(mutex_);
  size_t waiting_keys_ GUARDED_BY(mutex_) = 0;
  size_t waiting_bytes_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

// Tells Redis which series are durable, in pipelines of SETs over several connections. A series is sent at once while
// nothing is under way. Otherwise it waits until its pipeline is full, but at most flush_interval.
// Threads: safe. One thread per connection.
class RedisTier::Writes {
 public:
  explicit Writes(RedisTier& tier);

  void Add(std::span<const model::Fingerprint> fingerprints) EXCLUDES(mutex_);
  // Changes the number of connections. Never waits: a surplus thread finishes its pipeline, closes its connection and
  // sleeps until it is needed again. Confined to one thread at a time.
  void Resize(size_t connections) EXCLUDES(mutex_);
  // Sends what waits, without waiting for pipelines to fill, until the deadline or until Redis is away.
  void Drain(steady_clock::time_point deadline) EXCLUDES(mutex_);
  // Ends the threads; drops and counts what is left. Request `stop_writes_` before, or Stop() waits for the pipelines
  // that are under way. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Pending {
    model::Fingerprint fingerprint;
    steady_clock::time_point flush_by;
  };

  void Run(size_t number) EXCLUDES(mutex_);
  Fingerprints Take(size_t number, RedisConnection& connection) EXCLUDES(mutex_);
  bool ReadyToFlush() REQUIRES(mutex_);
  void Write(const Fingerprints& pipeline, RedisConnection& connection, std::mt19937_64& random);
  void Drop(size_t keys) { tier_.metrics_.dropped.Add(static_cast<double>(keys)); }

  RedisTier& tier_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Pending> waiting_ GUARDED_BY(mutex_);
  size_t connections_ GUARDED_BY(mutex_) = 0;
  size_t busy_ GUARDED_BY(mutex_) = 0;  // threads that send a pipeline
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;  // by number; at least `connections_`
};

RedisTier::Lookups::Lookups(RedisTier& tier) : tier_(tier) {
  while (threads_.size() < LookupConnections(tier.options_)) threads_.emplace_back([this] { Run(); });
}

// Each look-up is answered exactly once: here, if it is refused; by the thread that takes it from the queue; or by
// Stop(), which empties the queue after the threads have ended. An answer is always given without the lock, because it
// may call back into the tier. Add() and Stop() decide under one mutex, so no look-up enters the queue after Stop()
// emptied it.
void RedisTier::Lookups::Add(Fingerprints fingerprints, size_t held_bytes, Answer answer) {
  const size_t keys = fingerprints.size();
  Pending lookup{std::move(fingerprints), held_bytes, std::move(answer), steady_clock::now() + tier_.options_.timeout};
  if (keys == 0) return lookup.answer(std::vector<bool>());
  if (const Status up = tier_.health_.Up(); !up) return Refuse(lookup, up.error());
  {
    const MutexLock lock(mutex_);
    // A look-up that is alone fits whatever its size: the request has bounds of its own.
    const bool fits =
        waiting_.empty() || (waiting_keys_ + keys <= kMaxLookupKeys && waiting_bytes_ + held_bytes <= kMaxLookupBytes);
    if (!stopping_ && fits) {
      waiting_keys_ += keys;
      waiting_bytes_ += held_bytes;
      waiting_.push_back(std::move(lookup));
      changed_.NotifyOne();
      return;
    }
  }
  Refuse(lookup, Error(Errc::kOverloaded, format("more than {} series or {} wait to be looked up in Redis",
                                                 kMaxLookupKeys, FormatBytes(kMaxLookupBytes))));
}

void RedisTier::Lookups::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  threads_.clear();
  std::deque<Pending> left;
  {
    const MutexLock lock(mutex_);
    left.swap(waiting_);
  }
  for (Pending& lookup : left) Refuse(lookup, Error(Errc::kUnavailable, "the process is stopping"));
}

void RedisTier::Lookups::Run() {
  RedisConnection connection(tier_.options_, tier_.stop_lookups_);
  for (;;) {
    const size_t keys_per_command = tier_.write_options_.Get()->flush_keys;
    std::vector<Pending> batch;
    std::vector<Pending> late;
    if (!Take(keys_per_command, batch, late)) return;
    for (Pending& lookup : late) {
      Refuse(lookup, Error(Errc::kOverloaded, "too many series wait to be looked up in Redis"));
    }
    if (!batch.empty()) AnswerBatch(batch, connection, keys_per_command);
  }
}

// Waits for look-ups and takes the oldest: those of `batch` go to Redis together, up to `max_keys` series but at least
// one look-up. False at the stop.
//
// All of a batch are answered by the deadline of its first, which is the earliest, so each is answered within
// redis.timeout. A look-up that has spent half its time in the queue becomes `late` and is not sent: that is an
// overload of this queue. If it were sent and timed out, Redis would be taken for down, and everything would be
// published.
bool RedisTier::Lookups::Take(size_t max_keys, std::vector<Pending>& batch, std::vector<Pending>& late) {
  const MutexLock lock(mutex_);
  while (waiting_.empty() && !stopping_) changed_.Wait(mutex_);
  if (stopping_) return false;
  const auto earliest = steady_clock::now() + tier_.options_.timeout / 2;
  while (!waiting_.empty() && waiting_.front().deadline < earliest) late.push_back(TakeFirst());
  size_t keys = 0;
  while (!waiting_.empty() && (keys == 0 || keys + waiting_.front().fingerprints.size() <= max_keys)) {
    keys += waiting_.front().fingerprints.size();
    batch.push_back(TakeFirst());
  }
  return true;
}

RedisTier::Lookups::Pending RedisTier::Lookups::TakeFirst() {
  Pending first = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_keys_ -= first.fingerprints.size();
  waiting_bytes_ -= first.held_bytes;
  return first;
}

void RedisTier::Lookups::AnswerBatch(std::vector<Pending>& batch, RedisConnection& connection,
                                     size_t keys_per_command) {
  const auto refuse_all = [&](const Error& error) {
    for (Pending& lookup : batch) Refuse(lookup, error);
  };
  // Redis went away while they waited: asking would make each wait for its timeout.
  if (const Status up = tier_.health_.Up(); !up) return refuse_all(up.error());
  Fingerprints all;
  for (const Pending& lookup : batch) all.insert(all.end(), lookup.fingerprints.begin(), lookup.fingerprints.end());
  const Result<std::vector<bool>> known = connection.Find(all, keys_per_command, batch.front().deadline);
  if (!known) {
    if (!tier_.stop_lookups_.requested()) tier_.health_.ReportFault(known.error());
    return refuse_all(known.error());
  }
  const auto found = std::ranges::count(*known, true);
  tier_.metrics_.known.Add(static_cast<double>(found));
  tier_.metrics_.unknown.Add(static_cast<double>(std::ssize(*known) - found));
  auto begin = known->begin();
  for (Pending& lookup : batch) {
    const auto end = begin + std::ssize(lookup.fingerprints);
    lookup.answer(std::vector<bool>(begin, end));
    begin = end;
  }
}

void RedisTier::Lookups::Refuse(Pending& lookup, const Error& error) {
  tier_.metrics_.unanswered.Add(static_cast<double>(lookup.fingerprints.size()));
  lookup.answer(Fail(error));
}

RedisTier::Writes::Writes(RedisTier& tier) : tier_(tier) {
  Resize(WriteConnections(tier.options_, *tier.write_options_.Get()));
}

void RedisTier::Writes::Add(std::span<const model::Fingerprint> fingerprints) {
  const auto flush_by = steady_clock::now() + tier_.write_options_.Get()->flush_interval;
  size_t added = 0;
  {
    const MutexLock lock(mutex_);
    if (!stopping_) added = std::min(fingerprints.size(), kMaxWrites - waiting_.size());
    for (const model::Fingerprint fingerprint : fingerprints.first(added)) waiting_.push_back({fingerprint, flush_by});
  }
  changed_.NotifyAll();
  if (added < fingerprints.size()) Drop(fingerprints.size() - added);
}

void RedisTier::Writes::Resize(size_t connections) {
  {
    const MutexLock lock(mutex_);
    connections_ = connections;
  }
  changed_.NotifyAll();
  while (threads_.size() < connections) {
    threads_.emplace_back([this, number = threads_.size()] { Run(number); });
  }
}

void RedisTier::Writes::Drain(steady_clock::time_point deadline) {
  const MutexLock lock(mutex_);
  draining_ = true;
  changed_.NotifyAll();
  while ((busy_ > 0 || !waiting_.empty()) && tier_.health_.Up()) {
    if (!changed_.WaitUntil(mutex_, deadline)) return;
  }
}

void RedisTier::Writes::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  threads_.clear();
  const MutexLock lock(mutex_);
  Drop(waiting_.size());
  waiting_.clear();
}

// The threads share one queue, oldest first. Each takes a pipeline, sends it without the lock, and comes back. `busy_`
// counts the pipelines that are under way; it goes up under the lock that takes the keys, so that Drain never sees an
// empty queue and no busy thread while keys are still in a thread's hands. Under light load, one series goes out at
// once. Under heavy load, pipelines fill while others are under way. If Redis is away, each thread keeps its pipeline
// and waits, and the queue fills up to kMaxWrites. What is lost in a crash is only a hint: another producer then
// publishes these series again.
void RedisTier::Writes::Run(size_t number) {
  RedisConnection connection(tier_.options_, tier_.stop_writes_);
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

bool RedisTier::Writes::ReadyToFlush() {
  if (waiting_.empty()) return false;
  // While no pipeline is under way there is nothing to wait for: more series gather during this one.
  return busy_ == 0 || draining_ || waiting_.size() >= tier_.write_options_.Get()->flush_keys ||
         steady_clock::now() >= waiting_.front().flush_by;
}

// The next pipeline; empty at the stop.
Fingerprints RedisTier::Writes::Take(size_t number, RedisConnection& connection) {
  const MutexLock lock(mutex_);
  while (!stopping_) {
    if (number >= connections_) {
      connection.Close();
      changed_.Wait(mutex_);
    } else if (ReadyToFlush()) {
      const size_t count = std::min<size_t>(waiting_.size(), tier_.write_options_.Get()->flush_keys);
      Fingerprints pipeline;
      pipeline.reserve(count);
      while (pipeline.size() < count) {
        pipeline.push_back(waiting_.front().fingerprint);
        waiting_.pop_front();
      }
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
void RedisTier::Writes::Write(const Fingerprints& pipeline, RedisConnection& connection, std::mt19937_64& random) {
  while (tier_.health_.AwaitUp()) {
    const auto options = tier_.write_options_.Get();
    std::vector<seconds> lifetimes(options->expires ? pipeline.size() : 0);
    for (seconds& lifetime : lifetimes) lifetime = LifetimeOf(*options, random);
    const Status written = connection.Store(pipeline, lifetimes, steady_clock::now() + tier_.options_.timeout);
    const bool answered = written || written.error().code() != Errc::kUnavailable;
    if (answered) {
      tier_.health_.ReportWrite(written);
      if (!written) break;
      return;
    }
    tier_.health_.ReportFault(written.error());
  }
  Drop(pipeline.size());
}

RedisTier::RedisTier(RedisOptions options, const RedisWriteOptions& write_options, Deps deps)
    : options_(std::move(options)),
      write_options_(write_options),
      metrics_(deps.metrics),
      health_(options_, stop_lookups_, deps.log, metrics_),
      lookups_(std::make_unique<Lookups>(*this)),
      writes_(std::make_unique<Writes>(*this)) {}

RedisTier::~RedisTier() { Stop(); }

void RedisTier::Lookup(Fingerprints fingerprints, size_t held_bytes, Answer answer) {
  lookups_->Add(std::move(fingerprints), held_bytes, std::move(answer));
}

void RedisTier::Remember(std::span<const model::Fingerprint> fingerprints) {
  if (!fingerprints.empty()) writes_->Add(fingerprints);
}

void RedisTier::Reconfigure(const RedisWriteOptions& write_options) {
  write_options_.Set(write_options);
  writes_->Resize(WriteConnections(options_, write_options));
}

// The probe ends with the look-ups: during Drain the health is what the writes find.
void RedisTier::StopLookups() {
  stop_lookups_.Request();
  health_.Stop();
  lookups_->Stop();
}

void RedisTier::Drain(milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  StopLookups();
  writes_->Drain(deadline);
}

// Look-ups end before writes: the answer of a look-up may lead to new writes. Each stop signal is requested before
// the threads that wait for it are joined. Add() of a stopped queue refuses or drops, so late calls are safe.
void RedisTier::Stop() {
  StopLookups();
  stop_writes_.Request();
  writes_->Stop();
}

}  // namespace mi::dedupe
