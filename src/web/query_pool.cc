#include "web/query_pool.h"

#include <exception>
#include <optional>
#include <utility>

namespace mi::web {

QueryPool::QueryPool(unsigned threads, size_t queue_capacity) : queue_(queue_capacity) {
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<Job> job = queue_.Pop()) {
        try {
          (*job)(Turn::kRun);
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
          // No memory even to say so. The reply goes with the job, and answers 500; the next one has its turn.
        }
      }
    });
  }
}

void QueryPool::Run(Job job) {
  // NOLINTNEXTLINE(bugprone-use-after-move): a queue that refuses leaves it as it is
  if (!queue_.TryPush(std::move(job))) job(Turn::kRefused);
}

QueryPool::~QueryPool() { Stop(); }

void QueryPool::Stop() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace mi::web
