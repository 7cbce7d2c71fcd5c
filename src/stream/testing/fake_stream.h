// A stream in memory with scripted faults, for the tests of other rooms. It passes the same contract suite as the real
// adapters (stream/testing/contract_test.h).
//
//   FakeStream stream;
//   stream.Fail(FakeCall::kPublish, 3, Error(Errc::kUnavailable, "gone"));  // the third Publish from now
//   auto consumer = stream.OpenConsumer();
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "stream/ports.h"

namespace mi::stream {

enum class FakeCall { kPublish, kPoll, kRewind, kDeadLetter };

// Serves any number of publishers and consumers, which must not outlive it. Threads: safe.
class FakeStream {
 public:
  static constexpr int64_t kFirstOffset = 1;

  std::unique_ptr<SeriesPublisher> OpenPublisher();
  std::unique_ptr<SeriesConsumer> OpenConsumer();

  // Lets the nth call of this kind from now fail once (1 is the next call). Several faults can be scripted per kind.
  void Fail(FakeCall call, int nth, Error error) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    faults_.push_back({call, nth, std::move(error)});
  }
  // Lets every call of this kind fail until Recover().
  void FailAlways(FakeCall call, Error error) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    always_.insert_or_assign(call, std::move(error));
  }
  // From the next Publish on, only the first `taken` series of a batch become durable; the others fail with `error`.
  void TakeOnly(size_t taken, Error error) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    partial_.emplace(taken, std::move(error));
  }
  // What Health() returns from now on.
  void SetHealth(Status health) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    health_ = std::move(health);
  }
  void Recover() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    faults_.clear();
    always_.clear();
    partial_.reset();
    health_ = {};
  }

  // Holds batches from now on until Acknowledge(): they are neither durable nor visible.
  void HoldAcknowledgements() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    holding_ = true;
  }
  size_t held() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return held_.size();
  }
  // Waits until `batches` batches are held.
  void AwaitHeld(size_t batches) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (held_.size() < batches) moved_.Wait(mutex_);
  }
  // Accepts the held batches in order, and holds no more.
  void Acknowledge() EXCLUDES(mutex_) {
    std::vector<Held> held;
    {
      MutexLock lock(mutex_);
      holding_ = false;
      held.swap(held_);
    }
    for (Held& h : held) Finish(std::move(h));
  }
  // Fails the held batches, as a stopping stream does.
  void FailHeld(const Error& error) EXCLUDES(mutex_) {
    std::vector<Held> held;
    {
      MutexLock lock(mutex_);
      holding_ = false;
      held.swap(held_);
    }
    for (Held& h : held) h.done(Failed(*h.batch, 0, error));
  }

  // Appends bytes that no consumer can decode.
  void AppendPoison(std::string bytes, std::string reason) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      records_.emplace_back(Poison{std::move(bytes), std::move(reason)});
    }
    moved_.NotifyAll();
  }
  void Append(model::SeriesBatch batch) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      records_.emplace_back(std::make_shared<const model::SeriesBatch>(std::move(batch)));
    }
    moved_.NotifyAll();
  }

  std::string name() const { return "fake"; }
  int calls(FakeCall call) const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = calls_.find(call);
    return found == calls_.end() ? 0 : found->second;
  }
  // All batches that were ever accepted, in order, without poison.
  std::vector<std::shared_ptr<const model::SeriesBatch>> published() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    std::vector<std::shared_ptr<const model::SeriesBatch>> batches;
    for (const Record& record : records_) {
      if (const auto* batch = std::get_if<Batch>(&record)) batches.push_back(*batch);
    }
    return batches;
  }
  std::vector<PoisonRecord> dead_letters() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return dead_letters_;
  }
  // Everything before this offset was released.
  int64_t released() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return released_;
  }
  // The offset after the last record.
  int64_t end() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return EndLocked();
  }

 private:
  friend class FakePublisher;
  friend class FakeConsumer;

  struct Poison {
    std::string bytes;
    std::string reason;
  };
  using Batch = std::shared_ptr<const model::SeriesBatch>;
  using Record = std::variant<Batch, Poison>;
  struct Fault {
    FakeCall call;
    int nth;
    Error error;
  };
  struct Held {
    Batch batch;
    SeriesPublisher::Done done;
  };

  static PublishResult Failed(const model::SeriesBatch& batch, size_t from, const Error& error) {
    PublishResult result;
    for (size_t i = from; i < batch.size(); ++i) result.failures.push_back({i, error});
    if (!batch.metadata().empty()) result.metadata_failure = error;
    return result;
  }

  int64_t EndLocked() const REQUIRES(mutex_) { return kFirstOffset + static_cast<int64_t>(records_.size()); }

  // Counts the call, and returns the fault that is scripted for it.
  std::optional<Error> Enter(FakeCall call) REQUIRES(mutex_) {
    ++calls_[call];
    if (const auto always = always_.find(call); always != always_.end()) return always->second;
    std::optional<Error> due;
    std::erase_if(faults_, [&](Fault& fault) {
      if (fault.call != call || --fault.nth > 0) return false;
      due = fault.error;
      return true;
    });
    return due;
  }

  void Publish(Held held) EXCLUDES(mutex_) {
    std::optional<Error> fault;
    {
      MutexLock lock(mutex_);
      fault = Enter(FakeCall::kPublish);
      if (!fault && holding_) {
        held_.push_back(std::move(held));
        moved_.NotifyAll();
        return;
      }
    }
    if (fault) return held.done(Failed(*held.batch, 0, *fault));
    Finish(std::move(held));
  }

  void Finish(Held held) EXCLUDES(mutex_) {
    PublishResult result;
    {
      MutexLock lock(mutex_);
      if (partial_ && partial_->first < held.batch->size()) {
        result = Failed(*held.batch, partial_->first, partial_->second);
        held.batch = Prefix(*held.batch, partial_->first);
      }
      if (!held.batch->empty()) records_.emplace_back(held.batch);
    }
    moved_.NotifyAll();
    held.done(std::move(result));
  }

  static Batch Prefix(const model::SeriesBatch& batch, size_t count) {
    model::SeriesBatch prefix(batch.tenant(), batch.seen_at_ms());
    for (size_t i = 0; i < count; ++i) prefix.Add(batch[i].fingerprint, batch[i].labels.canonical());
    return std::make_shared<const model::SeriesBatch>(std::move(prefix));
  }

  mutable Mutex mutex_;
  CondVar moved_;
  std::vector<Record> records_ GUARDED_BY(mutex_);
  std::vector<Held> held_ GUARDED_BY(mutex_);
  bool holding_ GUARDED_BY(mutex_) = false;
  std::optional<std::pair<size_t, Error>> partial_ GUARDED_BY(mutex_);
  Status health_ GUARDED_BY(mutex_);
  std::vector<Fault> faults_ GUARDED_BY(mutex_);
  std::map<FakeCall, Error> always_ GUARDED_BY(mutex_);
  std::map<FakeCall, int> calls_ GUARDED_BY(mutex_);
  std::vector<PoisonRecord> dead_letters_ GUARDED_BY(mutex_);
  int64_t released_ GUARDED_BY(mutex_) = kFirstOffset;
};

class FakePublisher final : public SeriesPublisher {
 public:
  explicit FakePublisher(FakeStream& stream) : stream_(stream) {}
  void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) override {
    if (batch->empty()) return done({});
    stream_.Publish({std::move(batch), std::move(done)});
  }
  Status Health() const override {
    MutexLock lock(stream_.mutex_);
    return stream_.health_;
  }

 private:
  FakeStream& stream_;
};

class FakeConsumer final : public SeriesConsumer {
 public:
  explicit FakeConsumer(FakeStream& stream) : stream_(stream) {}

  Status Start(PositionLookup positions) override {
    positions_ = std::move(positions);
    return Seek();
  }

  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) override {
    const auto deadline = std::chrono::steady_clock::now() + max_wait;
    MutexLock lock(stream_.mutex_);
    applied_ = position_;
    if (const auto fault = stream_.Enter(FakeCall::kPoll)) return mi::Fail(*fault);
    while (position_ == stream_.EndLocked() && !woken_) {
      if (!stream_.moved_.WaitUntil(stream_.mutex_, deadline)) break;
    }
    Polled polled;
    if (position_ == stream_.EndLocked()) {
      woken_ = false;
      return polled;
    }
    for (; position_ < stream_.EndLocked(); ++position_) {
      const auto& record = stream_.records_[static_cast<size_t>(position_ - FakeStream::kFirstOffset)];
      if (const auto* poison = std::get_if<FakeStream::Poison>(&record)) {
        polled.poison.push_back({At(position_ + 1), poison->bytes, poison->reason});
        continue;
      }
      const model::SeriesBatch& batch = *std::get<FakeStream::Batch>(record);
      if (position_ != applied_ && polled.series + batch.size() > max_series) break;
      polled.series += batch.size();
      polled.batches.push_back(batch);
      const Origin origin{0, position_ + 1};
      polled.origins.push_back({std::vector(batch.size(), origin), std::vector(batch.metadata().size(), origin)});
    }
    polled.next = {At(position_)};
    return polled;
  }

  Status Rewind() override {
    {
      MutexLock lock(stream_.mutex_);
      if (const auto fault = stream_.Enter(FakeCall::kRewind)) return mi::Fail(*fault);
    }
    return Seek();
  }

  Status DeadLetter(const PoisonRecord& record) override {
    MutexLock lock(stream_.mutex_);
    if (const auto fault = stream_.Enter(FakeCall::kDeadLetter)) return mi::Fail(*fault);
    stream_.dead_letters_.push_back(record);
    return {};
  }

  void Release(std::span<const StreamPosition> durable) override {
    MutexLock lock(stream_.mutex_);
    for (const StreamPosition& position : durable) {
      if (position.stream == stream_.name()) stream_.released_ = std::max(stream_.released_, position.next_offset);
    }
  }

  Lag CurrentLag() const override {
    MutexLock lock(stream_.mutex_);
    Lag lag;
    for (int64_t at = applied_; at < stream_.EndLocked(); ++at) {
      const auto& record = stream_.records_[static_cast<size_t>(at - FakeStream::kFirstOffset)];
      const auto* batch = std::get_if<FakeStream::Batch>(&record);
      if (batch == nullptr) continue;
      lag.records += (*batch)->size();
      if (lag.oldest_seen_at_ms == 0) lag.oldest_seen_at_ms = (*batch)->seen_at_ms();
    }
    return lag;
  }

  void Wake() override {
    {
      MutexLock lock(stream_.mutex_);
      woken_ = true;
    }
    stream_.moved_.NotifyAll();
  }

 private:
  // Calls the lookup without the lock, because it is the caller's code.
  Status Seek() {
    const Result<std::optional<int64_t>> stored = positions_(stream_.name(), 0);
    if (!stored) return mi::Fail(stored.error());
    MutexLock lock(stream_.mutex_);
    position_ = stored->value_or(FakeStream::kFirstOffset);
    if (position_ > stream_.EndLocked()) position_ = FakeStream::kFirstOffset;
    applied_ = position_;
    return {};
  }
  StreamPosition At(int64_t next_offset) const { return {stream_.name(), 0, next_offset}; }

  FakeStream& stream_;
  PositionLookup positions_;
  int64_t position_ GUARDED_BY(stream_.mutex_) = FakeStream::kFirstOffset;  // of the next poll
  int64_t applied_ GUARDED_BY(stream_.mutex_) = FakeStream::kFirstOffset;   // what was polled before the last poll
  bool woken_ GUARDED_BY(stream_.mutex_) = false;
};

inline std::unique_ptr<SeriesPublisher> FakeStream::OpenPublisher() { return std::make_unique<FakePublisher>(*this); }
inline std::unique_ptr<SeriesConsumer> FakeStream::OpenConsumer() { return std::make_unique<FakeConsumer>(*this); }

// Counts the fingerprints.
class FakeActivity final : public ActivityPublisher {
 public:
  void PublishActivity(model::ActivityBatch batch) override { fingerprints += batch.fingerprints.size(); }
  size_t fingerprints = 0;
};

}  // namespace mi::stream
