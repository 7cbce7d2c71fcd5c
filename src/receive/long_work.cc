#include "receive/long_work.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/format.h"

namespace mi::receive {
namespace {

unsigned ThreadsOf(const LongWorkOptions& options) {
  return options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

LongWork::LongWork(LongWorkOptions options) : options_(options) {
  for (unsigned i = 0; i < ThreadsOf(options_); ++i) {
    threads_.emplace_back([this] {
      while (std::optional<Job> job = Next()) (*job)({});
    });
  }
}

void LongWork::Stop() {
  Expire();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void LongWork::Add(std::string_view peer, Job job) {
  std::string problem;
  {
    MutexLock lock(mutex_);
    auto found = jobs_.find(peer);
    const size_t of_peer = found == jobs_.end() ? 0 : found->second.size();
    if (expired_) {
      problem = "the service is stopping";
    } else if (of_peer >= options_.max_waiting_per_peer) {
      problem = format("{} large requests of this sender wait to be read already", of_peer);
    } else if (waiting_ >= options_.max_waiting) {
      problem = format("{} large requests wait to be read already", waiting_);
    } else {
      if (found == jobs_.end()) {
        found = jobs_.emplace(peer, std::deque<Job>()).first;
        turns_.emplace_back(peer);
      }
      found->second.push_back(std::move(job));
      ++waiting_;
    }
  }
  if (problem.empty()) return changed_.NotifyOne();
  job(Fail(Errc::kOverloaded, std::move(problem)));
}

void LongWork::Expire() {
  decltype(jobs_) given_up;
  {
    MutexLock lock(mutex_);
    expired_ = true;
    given_up.swap(jobs_);
    turns_.clear();
    waiting_ = 0;
  }
  changed_.NotifyAll();
  for (auto& [peer, jobs] : given_up) {
    for (Job& job : jobs) job(Fail(Errc::kUnavailable, "the service is stopping"));
  }
}

// A peer is in turns_ once if it has jobs. It goes to the end after each of its jobs, so its place does not depend on
// how many jobs it has. Returns nothing once Expire() was called.
std::optional<LongWork::Job> LongWork::Next() {
  MutexLock lock(mutex_);
  while (turns_.empty() && !expired_) changed_.Wait(mutex_);
  if (expired_) return std::nullopt;
  std::string peer = std::move(turns_.front());
  turns_.pop_front();
  const auto found = jobs_.find(peer);
  std::optional<Job> job(std::move(found->second.front()));
  found->second.pop_front();
  --waiting_;
  if (found->second.empty()) {
    jobs_.erase(found);
  } else {
    turns_.push_back(std::move(peer));
  }
  return job;
}

Status CheckWaited(std::chrono::steady_clock::duration waited, std::chrono::milliseconds timeout) {
  if (waited <= timeout) return {};
  return Fail(Errc::kOverloaded,
              format("the request waited for longer than {} ms to be read (receive.answer_timeout)", timeout.count()));
}

Status TakeMemory(MemoryBudget& budget, MemoryHold& hold, uint64_t bytes, uint64_t body_bytes) {
  if (hold.TryGrow(bytes)) return {};
  const uint64_t alone = hold.bytes() + bytes + body_bytes;
  const bool never = alone > budget.limit();
  return Fail(never ? Errc::kTooLarge : Errc::kOverloaded,
              format("the request needs {} of memory, {} of {} are in use (receive.max_buffered_bytes)",
                     FormatBytes(alone), FormatBytes(budget.used()), FormatBytes(budget.limit())));
}

}  // namespace mi::receive
