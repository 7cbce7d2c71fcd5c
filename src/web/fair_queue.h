// A queue in which nobody's items wait behind all items of somebody else.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace mi::web {

// One line per key, served in turn. A key has a share of the places and a share of the workers. So a key with many
// items, or with slow ones, leaves places and at least one worker to the others.
//
//   lines_   a: [3 waiting, 1 running]   b: [1 waiting]   c: [1 running]
//   turns_   b, a                        the lines that have an item and a free worker of their share
//
// Threads: safe, any number of producers and consumers.
template <typename T>
class FairQueue {
 public:
  struct Limits {
    size_t capacity = 0;       // items that wait
    size_t share = 0;          // … of one key
    size_t running_share = 0;  // items of one key that are in work; at least 1
  };
  enum class Pushed { kTaken, kFull, kShareIsFull, kClosed };

  // An item in work. Its destructor frees the worker of its key's share.
  class Turn {
   public:
    Turn(FairQueue& queue, std::string key, T taken) : item(std::move(taken)), queue_(&queue), key_(std::move(key)) {}
    Turn(Turn&& other) noexcept
        : item(std::move(other.item)), queue_(std::exchange(other.queue_, nullptr)), key_(std::move(other.key_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (queue_ != nullptr) queue_->Finish(key_);
    }
    T item;

   private:
    FairQueue* queue_;
    std::string key_;
  };

  explicit FairQueue(const Limits& limits) : limits_(limits) {}

  // The item stays with the caller, unchanged, unless it is taken.
  Pushed TryPush(const std::string& key, T&& item) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (closed_) return Pushed::kClosed;
    if (waiting_ >= limits_.capacity) return Pushed::kFull;
    const auto found = lines_.find(key);
    if (found != lines_.end() && found->second.waiting.size() >= limits_.share) return Pushed::kShareIsFull;
    Line& line = found != lines_.end() ? found->second : lines_[key];
    line.waiting.push_back(std::move(item));
    ++waiting_;
    TakePlace(key, line);
    return Pushed::kTaken;
  }

  // Waits for the next item. Returns nothing once the queue is closed.
  std::optional<Turn> Pop() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (turns_.empty() && !closed_) changed_.Wait(mutex_);
    if (closed_) return std::nullopt;
    std::string key = std::move(turns_.front());
    turns_.pop_front();
    Line& line = lines_.at(key);
    line.has_turn = false;
    T item = std::move(line.waiting.front());
    line.waiting.pop_front();
    --waiting_;
    ++line.running;
    TakePlace(key, line);
    return std::optional<Turn>(std::in_place, *this, std::move(key), std::move(item));
  }

  // Refuses further items, wakes every waiter, and returns what waits. Idempotent.
  std::vector<T> Close() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    std::vector<T> left;
    for (auto& [key, line] : lines_) {
      std::ranges::move(line.waiting, std::back_inserter(left));
      line.waiting.clear();
    }
    waiting_ = 0;
    turns_.clear();
    changed_.NotifyAll();
    return left;
  }

 private:
  struct Line {
    std::deque<T> waiting;
    size_t running = 0;
    bool has_turn = false;  // it is in turns_
  };

  void TakePlace(const std::string& key, Line& line) REQUIRES(mutex_) {
    if (line.has_turn || line.waiting.empty() || line.running >= limits_.running_share) return;
    line.has_turn = true;
    turns_.push_back(key);
    changed_.NotifyOne();
  }

  void Finish(const std::string& key) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = lines_.find(key);
    Line& line = found->second;
    --line.running;
    TakePlace(key, line);
    if (line.waiting.empty() && line.running == 0) lines_.erase(found);
  }

  const Limits limits_;
  Mutex mutex_;
  CondVar changed_;
  std::unordered_map<std::string, Line> lines_ GUARDED_BY(mutex_);
  std::deque<std::string> turns_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::web
