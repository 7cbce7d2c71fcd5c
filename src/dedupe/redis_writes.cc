#include "dedupe/redis_writes.h"

#include <algorithm>
#include <charconv>
#include <new>
#include <utility>

#include "dedupe/redis_key.h"
#include "dedupe/redis_thread.h"

namespace mi::dedupe {
namespace {

using std::chrono::steady_clock;

// 16 bytes each: about a minute of a million new series a minute while Redis is away.
constexpr size_t kMostWaitingWrites = 1'000'000;

// How long a key lives: spread, so that a catalogue that filled at once is not published again at once.
std::chrono::seconds LifeOf(const RedisWriteOptions& options, std::mt19937_64& random) {
  const int64_t spread = options.spread.count();
  const int64_t shorter = spread == 0 ? 0 : std::uniform_int_distribution<int64_t>(1, spread)(random);
  return std::max(options.expire - std::chrono::seconds(shorter), std::chrono::seconds(1));
}

Status Tell(RedisConnection& connection, std::span<const model::Fingerprint> pipeline, const RedisWriteOptions& options,
            std::mt19937_64& random, RedisConnection::Deadline deadline) {
  for (const model::Fingerprint fingerprint : pipeline) {
    const RedisKey key(fingerprint);
    if (!options.expires) {
      connection.Append({"SET", key.view(), "1"});
      continue;
    }
    std::array<char, 20> life{};
    const auto end = std::to_chars(life.data(), life.data() + life.size(), LifeOf(options, random).count()).ptr;
    connection.Append({"SET", key.view(), "1", "EX", std::string_view(life.data(), end)});
  }
  for (size_t answered = 0; answered < pipeline.size(); ++answered) {
    if (const Result<RedisReply> reply = connection.Read(deadline); !reply) return Fail(reply.error());
  }
  return {};
}

}  // namespace

RedisWrites::RedisWrites(size_t connections, RedisParts deps) : deps_(deps), connections_(0) { Resize(connections); }

RedisWrites::~RedisWrites() { Stop(); }

void RedisWrites::Add(std::span<const model::Fingerprint> fingerprints) {
  const auto options = deps_.live.Get();
  size_t taken = 0;
  {
    MutexLock lock(mutex_);
    if (!stopping_) taken = std::min(fingerprints.size(), kMostWaitingWrites - keys_.size());
    if (taken > 0 && !Keep(fingerprints.first(taken), options->flush_interval)) taken = 0;
    if (taken > 0) {
      // The first run gives a thread its time to wait for, a full pipeline another one its work.
      if (runs_.size() == 1 || ReadyToFlush()) changed_.NotifyOne();
    }
  }
  if (taken < fingerprints.size()) Drop(fingerprints.size() - taken);
}

bool RedisWrites::Keep(std::span<const model::Fingerprint> fingerprints, std::chrono::milliseconds longest) try {
  runs_.push_back({0, steady_clock::now() + longest});
  keys_.insert(keys_.end(), fingerprints.begin(), fingerprints.end());
  runs_.back().keys = fingerprints.size();
  return true;
} catch (const std::bad_alloc&) {
  if (!runs_.empty() && runs_.back().keys == 0) runs_.pop_back();
  return false;
}

void RedisWrites::Resize(size_t connections) {
  {
    MutexLock lock(mutex_);
    connections_ = connections;
  }
  changed_.NotifyAll();
  wanted_.NotifyAll();
  while (threads_.size() < connections) {
    threads_.push_back(RedisThread([this, number = threads_.size()] { Work(number); }));
  }
}

void RedisWrites::Finish() {
  {
    MutexLock lock(mutex_);
    finishing_ = true;
  }
  changed_.NotifyAll();
}

void RedisWrites::AwaitFlushed(steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while ((busy_ > 0 || !keys_.empty()) && deps_.health.up()) {
    if (!changed_.WaitUntil(mutex_, deadline)) return;
  }
}

void RedisWrites::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  wanted_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  MutexLock lock(mutex_);
  Drop(keys_.size());
  keys_.clear();
  runs_.clear();
}

void RedisWrites::Work(size_t number) {
  RedisLine line(deps_.options, deps_.interrupt);
  std::mt19937_64 random(std::random_device{}());
  for (;;) {
    const Fingerprints pipeline = Take(number, line);
    if (pipeline.empty()) return;
    try {
      Flush(pipeline, line, random);
    } catch (const std::bad_alloc&) {
      Drop(pipeline.size());
    }
    MutexLock lock(mutex_);
    --busy_;
    if (finishing_) {
      changed_.NotifyAll();
    } else if (!keys_.empty()) {
      changed_.NotifyOne();  // this thread may be one too many
    }
  }
}

bool RedisWrites::ReadyToFlush() {
  if (runs_.empty()) return false;
  // While nothing is under way there is nothing to wait for: the next ones gather meanwhile.
  return busy_ == 0 || finishing_ || keys_.size() >= deps_.live.Get()->flush_keys ||
         steady_clock::now() >= runs_.front().flush_by;
}

RedisWrites::Fingerprints RedisWrites::Take(size_t number, RedisLine& line) {
  MutexLock lock(mutex_);
  Fingerprints pipeline;
  while (!stopping_ && pipeline.empty()) {
    if (number >= connections_) {
      line.Close();
      wanted_.Wait(mutex_);
    } else if (ReadyToFlush()) {
      pipeline = TakeKeys();
      if (pipeline.empty() && finishing_) changed_.NotifyAll();
    } else if (runs_.empty()) {
      changed_.Wait(mutex_);
    } else {
      changed_.WaitUntil(mutex_, runs_.front().flush_by);
    }
  }
  if (pipeline.empty()) return pipeline;
  if (!runs_.empty()) changed_.NotifyOne();  // to wait for the rest, or take it
  ++busy_;
  return pipeline;
}

// The next keys, up to a pipeline of them; nothing when there was no memory for it: they are dropped then.
RedisWrites::Fingerprints RedisWrites::TakeKeys() {
  const size_t count = std::min<size_t>(keys_.size(), deps_.live.Get()->flush_keys);
  const auto end = keys_.begin() + static_cast<ptrdiff_t>(count);
  Fingerprints pipeline;
  try {
    pipeline.assign(keys_.begin(), end);
  } catch (const std::bad_alloc&) {
    Drop(count);
  }
  keys_.erase(keys_.begin(), end);
  for (size_t left = count; left > 0;) {
    Run& first = runs_.front();
    const size_t from_first = std::min(left, first.keys);
    left -= from_first;
    first.keys -= from_first;
    if (first.keys == 0) runs_.pop_front();
  }
  return pipeline;
}

void RedisWrites::Flush(const Fingerprints& pipeline, RedisLine& line, std::mt19937_64& random) {
  while (deps_.health.AwaitUp()) {
    const auto options = deps_.live.Get();
    const auto deadline = steady_clock::now() + deps_.options.timeout;
    bool refused = false;
    const Status told = line.Do(deadline, [&](RedisConnection& connection) {
      Status status = Tell(connection, pipeline, *options, random, deadline);
      refused = !status && status.error().code() != Errc::kUnavailable;
      return status;
    });
    if (told) {
      deps_.health.TakesWrites();
      return;
    }
    if (refused) {
      deps_.health.RefusesWrites(told.error());
      break;
    }
    deps_.health.Fails(told.error());
  }
  Drop(pipeline.size());
}

}  // namespace mi::dedupe
