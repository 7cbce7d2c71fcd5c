#include "receive/long_work.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/format.h"

namespace mi::receive {
namespace {

LongWorkOptions Complete(LongWorkOptions options) {
  if (options.threads == 0) options.threads = std::max(1U, std::thread::hardware_concurrency()) + 1;
  return options;
}

}  // namespace

LongWork::LongWork(LongWorkOptions options)
    : options_(Complete(options)),
      jobs_({.capacity = options_.max_waiting,
             .share = options_.max_waiting_per_peer,
             .running_share = std::max(options_.threads, 2U) - 1}) {
  for (unsigned i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] {
      while (auto turn = jobs_.Pop()) turn->item({});
    });
  }
}

void LongWork::Stop() {
  Expire();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void LongWork::Add(std::string_view peer, Job job) {
  using Pushed = FairQueue<Job>::Pushed;
  const Pushed pushed = jobs_.TryPush({.client = std::string(peer)}, std::move(job));
  // NOLINTBEGIN(bugprone-use-after-move): a queue that refuses an item leaves it unchanged
  const auto refuse = [&job](std::string reason) { job(Fail(Errc::kOverloaded, std::move(reason))); };
  switch (pushed) {
    case Pushed::kTaken: return;
    case Pushed::kShareIsFull:
      return refuse(format("{} large requests of this sender wait to be read already", options_.max_waiting_per_peer));
    case Pushed::kFull: return refuse(format("{} large requests wait to be read already", options_.max_waiting));
    case Pushed::kClosed: return refuse("the service is stopping");
  }
  // NOLINTEND(bugprone-use-after-move)
}

void LongWork::Expire() {
  const Status stopping = Fail(Errc::kUnavailable, "the service is stopping");
  for (Job& job : jobs_.Close()) job(stopping);
}

Status CheckWaited(std::chrono::steady_clock::duration waited, std::chrono::milliseconds timeout) {
  if (waited <= timeout) return {};
  return Fail(Errc::kOverloaded,
              format("the request waited for longer than {} ms to be read (receive.answer_timeout)", timeout.count()));
}

Status TakeMemory(MemoryHold& hold, uint64_t bytes, uint64_t body_bytes) {
  if (hold.TryGrow(bytes)) return {};
  const uint64_t alone = hold.bytes() + bytes + body_bytes;
  const MemoryBudget& budget = hold.budget();
  const bool never = alone > budget.limit();
  return Fail(never ? Errc::kTooLarge : Errc::kOverloaded,
              format("the request needs {} of memory, {} of {} are in use (receive.max_buffered_bytes)",
                     FormatBytes(alone), FormatBytes(budget.used()), FormatBytes(budget.limit())));
}

}  // namespace mi::receive
