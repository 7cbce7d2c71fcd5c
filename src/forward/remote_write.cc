#include "forward/remote_write.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "base/format.h"
#include "base/mutex.h"
#include "forward/failure.h"
#include "forward/passed_request.h"
#include "forward/target.h"

namespace mi::forward {
namespace {

using std::chrono::steady_clock;
using Targets = std::vector<std::shared_ptr<Target>>;

// Requests that wait to become durable: their bytes are not in a queue yet, and bounded as well.
class KeptBytes {
 public:
  // Gives them back when it goes.
  class Hold {
   public:
    Hold(KeptBytes& kept, uint64_t bytes) : kept_(&kept), bytes_(bytes) {}
    Hold(Hold&& other) noexcept : kept_(std::exchange(other.kept_, nullptr)), bytes_(other.bytes_) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (kept_ != nullptr) kept_->bytes_ -= bytes_;
    }

   private:
    KeptBytes* kept_;
    uint64_t bytes_;
  };

  std::optional<Hold> Take(uint64_t bytes) {
    if (bytes_.fetch_add(bytes) + bytes <= limit_) return Hold(*this, bytes);
    bytes_ -= bytes;
    return std::nullopt;
  }
  // Whether it could ever be taken.
  bool Fits(uint64_t bytes) const { return bytes <= limit_; }
  void SetLimit(uint64_t limit) { limit_ = limit; }

 private:
  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<uint64_t> limit_ = 0;
};

// The smallest that no other target has whose url is shown as this one's: they share no metric.
size_t NumberFor(const std::string& url, const Targets& before, const Targets& after) {
  const auto is_taken = [&](size_t number) {
    const auto has = [&](const auto& target) {
      return target != nullptr && target->number() == number && Target::Shown(target->url()) == Target::Shown(url);
    };
    return std::ranges::any_of(before, has) || std::ranges::any_of(after, has);
  };
  size_t number = 1;
  while (is_taken(number)) ++number;
  return number;
}

// A request that waits for room in the queues of those that block; the others get it once all of them have it.
class Round {
 public:
  Round(size_t blocking, Target::Request request, Targets others, RemoteWrite::Done done)
      : left_(blocking), request_(std::move(request)), others_(std::move(others)), done_(std::move(done)) {}

  void Admitted(Status status) EXCLUDES(mutex_) {
    RemoteWrite::Done done;
    {
      MutexLock lock(mutex_);
      if (!status) status_ = std::move(status);
      if (--left_ > 0) return;
      done = std::move(done_);
      status = status_;
    }
    if (status) {
      for (const auto& target : others_) target->Add(request_);
    }
    done(std::move(status));
  }

 private:
  Mutex mutex_;
  size_t left_ GUARDED_BY(mutex_);
  Status status_ GUARDED_BY(mutex_);
  const Target::Request request_;
  const Targets others_;
  RemoteWrite::Done done_ GUARDED_BY(mutex_);
};

class RemoteWriteTargets final : public RemoteWrite {
 public:
  explicit RemoteWriteTargets(ForwardDeps deps) : deps_(deps), expire_([this] { ExpireWaiters(); }) {}

  ~RemoteWriteTargets() override {
    Stop(std::chrono::milliseconds(0));
    {
      MutexLock lock(mutex_);
      ending_ = true;
    }
    waiter_added_.NotifyAll();
    expire_.join();
  }

  PassOn Keep(const net::Request& request) override {
    if (Current()->empty()) return nullptr;
    auto kept = std::make_shared<const PassedRequest>(PassedRequestOf(request));
    // No wait makes room for it, and its sender would bring it for ever: dropped, also by those that block.
    if (!kept_.Fits(kept->bytes())) {
      return [this](steady_clock::time_point, Done done) {
        CountDropped();
        done({});
      };
    }
    std::optional<KeptBytes::Hold> hold = kept_.Take(kept->bytes());
    if (!hold) return [this](steady_clock::time_point, Done done) { GiveUp(std::move(done)); };
    return [this, kept = std::move(kept), hold = *std::move(hold)](steady_clock::time_point deadline, Done done) {
      Pass(kept, deadline, std::move(done));
    };
  }

  Status Reconfigure(const std::vector<TargetOptions>& options) override EXCLUDES(mutex_) {
    const std::shared_ptr<const Targets> before = Current();
    Targets left(*before);
    auto after = std::make_shared<Targets>();
    std::vector<std::pair<Target*, TargetOptions>> changed;
    uint64_t bytes = 0;
    for (const TargetOptions& one : options) {
      bytes += one.queue_bytes;
      const auto same = std::ranges::find(left, one.url, [](const auto& target) { return target->url(); });
      if (same != left.end()) {
        changed.emplace_back(same->get(), one);
        after->push_back(std::move(*same));
        left.erase(same);
        continue;
      }
      auto created = Target::Create(one, deps_, NumberFor(one.url, *before, *after));
      if (!created) return Fail(created.error());
      after->push_back(*std::move(created));
    }
    kept_.SetLimit(bytes);
    for (const auto& [target, one] : changed) target->Reconfigure(one);
    {
      MutexLock lock(mutex_);
      targets_ = std::move(after);
    }
    for (const auto& gone : left) gone->Stop();
    return {};
  }

  void ExpireAll() override {
    const auto targets = Current();
    for (const auto& target : *targets) target->Expire(steady_clock::time_point::max());
  }

  void Stop(std::chrono::milliseconds patience) override {
    const auto deadline = steady_clock::now() + patience;
    const auto targets = Current();
    for (const auto& target : *targets) target->Close();
    for (const auto& target : *targets) target->AwaitSent(deadline);
    for (const auto& target : *targets) target->Stop();
  }

 private:
  std::shared_ptr<const Targets> Current() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return targets_;
  }

  void Pass(const Target::Request& request, steady_clock::time_point deadline, Done done) EXCLUDES(mutex_) {
    const auto targets = Current();
    Targets blocking;
    Targets others;
    for (const auto& target : *targets) {
      (target->when_full() == WhenFull::kBlock ? blocking : others).push_back(target);
    }
    if (blocking.empty()) {
      for (const auto& target : others) target->Add(request);
      return done({});
    }
    auto round = std::make_shared<Round>(blocking.size(), request, std::move(others), std::move(done));
    for (const auto& target : blocking) {
      target->Admit(request, deadline, [round](Status status) { round->Admitted(std::move(status)); });
    }
    {
      MutexLock lock(mutex_);
      look_again_ = true;
    }
    waiter_added_.NotifyOne();
  }

  // More waits to become durable than all queues could hold.
  void GiveUp(Done done) {
    const auto targets = Current();
    const auto blocks = [](const auto& target) { return target->when_full() == WhenFull::kBlock; };
    if (std::ranges::any_of(*targets, blocks)) {
      return done(Failure(Errc::kOverloaded, "too much waits to be passed on (remote.write.queue_bytes)"));
    }
    CountDropped();
    done({});
  }

  void CountDropped() const {
    const auto targets = Current();
    for (const auto& target : *targets) target->CountDropped();
  }

  void ExpireWaiters() EXCLUDES(mutex_) {
    for (;;) {
      std::optional<steady_clock::time_point> next;
      const auto targets = Current();
      for (const auto& target : *targets) {
        const auto one = target->Expire(steady_clock::now());
        if (one) next = std::min(next.value_or(*one), *one);
      }
      MutexLock lock(mutex_);
      while (!look_again_ && !ending_) {
        if (!next) {
          waiter_added_.Wait(mutex_);
        } else if (!waiter_added_.WaitUntil(mutex_, *next)) {
          break;
        }
      }
      if (ending_) return;
      look_again_ = false;
    }
  }

  const ForwardDeps deps_;
  KeptBytes kept_;
  mutable Mutex mutex_;
  CondVar waiter_added_;
  std::shared_ptr<const Targets> targets_ GUARDED_BY(mutex_) = std::make_shared<const Targets>();
  bool look_again_ GUARDED_BY(mutex_) = false;
  bool ending_ GUARDED_BY(mutex_) = false;
  std::thread expire_;
};

}  // namespace

Result<std::unique_ptr<RemoteWrite>> RemoteWrite::Create(const std::vector<TargetOptions>& targets, ForwardDeps deps) {
  auto created = std::make_unique<RemoteWriteTargets>(deps);
  if (const Status configured = created->Reconfigure(targets); !configured) return Fail(configured.error());
  return created;
}

}  // namespace mi::forward
