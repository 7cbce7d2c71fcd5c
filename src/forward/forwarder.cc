#include "forward/forwarder.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/format.h"

namespace mi::forward {
namespace {

using std::chrono::steady_clock;

// Gives bytes back to the count that they were added to.
struct GiveBack {
  uint64_t bytes;
  void operator()(std::atomic<uint64_t>* count) const { *count -= bytes; }
};
using Reservation = std::unique_ptr<std::atomic<uint64_t>, GiveBack>;

bool Blocks(const std::shared_ptr<Target>& target) { return target->when_full() == WhenFull::kBlock; }

// The smallest number that no other target with the same shown url has: they share no metric.
size_t NumberFor(const std::string& url, const std::vector<std::shared_ptr<Target>>& before,
                 const std::vector<std::shared_ptr<Target>>& after) {
  for (size_t number = 1;; ++number) {
    const auto has = [&](const auto& target) {
      return target->number() == number && Target::Shown(target->url()) == Target::Shown(url);
    };
    if (std::ranges::none_of(before, has) && std::ranges::none_of(after, has)) return number;
  }
}

}  // namespace

// A request that waits for room in the queues of the targets that block. Those that do not block get it only once all
// of the others have it: otherwise they would get it again when its sender repeats it.
class Forwarder::Admission {
 public:
  Admission(size_t blocking, Target::Request request, Targets others, Done done)
      : left_(blocking), request_(std::move(request)), others_(std::move(others)), done_(std::move(done)) {}

  // Called once per target that blocks, from any thread.
  void OnAdmitted(Status admitted) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!admitted) outcome_ = std::move(admitted);
      if (--left_ > 0) return;
      admitted = outcome_;
    }
    if (admitted) {
      for (const auto& target : others_) target->Add(request_);
    }
    done_(std::move(admitted));
  }

 private:
  Mutex mutex_;
  size_t left_ GUARDED_BY(mutex_);
  Status outcome_ GUARDED_BY(mutex_);
  const Target::Request request_;
  const Targets others_;
  Done done_;
};

Result<std::unique_ptr<Forwarder>> Forwarder::Create(const std::vector<TargetOptions>& targets, ForwardDeps deps) {
  std::unique_ptr<Forwarder> forwarder(new Forwarder(deps));
  TRY(forwarder->Reconfigure(targets));
  return forwarder;
}

Forwarder::~Forwarder() { Stop(); }

std::shared_ptr<const Forwarder::Targets> Forwarder::Current() const {
  MutexLock lock(mutex_);
  return targets_;
}

// The copy is made before the request is durable, since the request is gone by then. `reservation` counts its bytes
// until the result is destroyed, called or not. The bytes are added first and compared afterwards, so that threads
// cannot pass the limit together; one that is over it takes its bytes back when `reservation` is destroyed.
Forwarder::Forward Forwarder::Prepare(const net::Request& request, std::string_view tenant) {
  if (Current()->empty()) return nullptr;
  const auto copy = std::make_shared<const ForwardedRequest>(CopyForForwarding(request, tenant));
  const uint64_t bytes = copy->bytes();
  Reservation reservation(&prepared_bytes_, GiveBack{bytes});
  const uint64_t limit = max_prepared_bytes_;
  if (prepared_bytes_.fetch_add(bytes) + bytes <= limit) {
    return [this, copy, reservation = std::move(reservation)](Target::Deadline deadline, Done done) {
      ForwardNow(copy, deadline, std::move(done));
    };
  }
  // A request that no wait could make room for is dropped even by targets that block: its sender would repeat it
  // forever.
  if (bytes > limit || std::ranges::none_of(*Current(), Blocks)) {
    return [this](Target::Deadline, Done done) { Drop(std::move(done)); };
  }
  return [](Target::Deadline, Done done) {
    done(Fail(Errc::kOverloaded, format("too many requests wait to be forwarded (remote.write.queue_bytes)")));
  };
}

void Forwarder::ForwardNow(const Target::Request& request, Target::Deadline deadline, Done done) {
  const auto targets = Current();
  Targets blocking;
  Targets others;
  for (const auto& target : *targets) (Blocks(target) ? blocking : others).push_back(target);
  if (blocking.empty()) {
    for (const auto& target : others) target->Add(request);
    return done({});
  }
  const auto admission = std::make_shared<Admission>(blocking.size(), request, std::move(others), std::move(done));
  for (const auto& target : blocking) {
    target->AddWhenRoom(request, deadline,
                        [admission](Status admitted) { admission->OnAdmitted(std::move(admitted)); });
  }
}

void Forwarder::Drop(Done done) {
  const auto targets = Current();
  for (const auto& target : *targets) target->CountDropped();
  done({});
}

void Forwarder::Send(std::string body) {
  // A number of its own: the order of OpenTSDB points does not matter, so all lanes take part.
  const auto request =
      std::make_shared<const ForwardedRequest>(ForwardedRequest{.body = std::move(body), .sender = next_sender_++});
  const auto targets = Current();
  for (const auto& target : *targets) target->Add(request);
}

// What can fail, the urls, comes before what changes. Then the targets that stay get their options, the new list
// replaces the old one, and the targets that are gone stop. A thread that still holds the old list may add to a
// target that is gone. Before its Stop the request is queued, and Stop counts it as dropped. After it the request is
// counted as dropped, or, if its sender waits for room, refused with kUnavailable.
Status Forwarder::Reconfigure(const std::vector<TargetOptions>& options) {
  const std::shared_ptr<const Targets> before = Current();
  Targets gone(*before);
  Targets after;
  std::vector<std::pair<Target*, TargetOptions>> kept;
  uint64_t queue_bytes = 0;
  for (const TargetOptions& one : options) {
    queue_bytes += one.queue_bytes;
    const auto same = std::ranges::find(gone, one.url, [](const auto& target) { return target->url(); });
    if (same != gone.end()) {
      kept.emplace_back(same->get(), one);
      after.push_back(std::move(*same));
      gone.erase(same);
      continue;
    }
    net::Url url = TRY(net::Url::Parse(one.url));
    after.push_back(std::make_shared<Target>(one, NumberFor(one.url, *before, after), std::move(url), deps_, timer_));
  }
  max_prepared_bytes_ = queue_bytes;
  for (const auto& [target, one] : kept) target->Reconfigure(one);
  {
    MutexLock lock(mutex_);
    targets_ = std::make_shared<const Targets>(std::move(after));
  }
  for (const auto& target : gone) target->Stop();
  return {};
}

void Forwarder::Drain(std::chrono::milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  const auto targets = Current();
  for (const auto& target : *targets) target->Close();
  for (const auto& target : *targets) target->AwaitSent(deadline);
}

void Forwarder::Stop() {
  const auto targets = Current();
  for (const auto& target : *targets) target->Stop();
}

}  // namespace mi::forward
