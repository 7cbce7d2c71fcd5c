#include "net/chunk_workers.h"

#include <exception>
#include <utility>

namespace mi::net {

ChunkWorkers::ChunkWorkers(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

ChunkWorkers::~ChunkWorkers() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  not_empty_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void ChunkWorkers::Run(Job job) {
  {
    MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  not_empty_.NotifyOne();
}

void ChunkWorkers::Work() {
  for (;;) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (jobs_.empty() && !stopping_) not_empty_.Wait(mutex_);
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    try {
      job();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
      // No memory to say so, most likely. The stream stays open until its peer gives up; the others go on.
    }
  }
}

}  // namespace mi::net
