// A queue in which nobody's items wait behind all items of somebody else.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace mi {

// Whose an item of a FairQueue is.
struct Sender {
  std::string client;
  std::string tenant = {};
};

// One line per client, served in turn. A client has a share of the places and a share of the workers, however many
// tenants it names. So a client with many items, or with slow ones, leaves places and at least one worker to the
// others. Within a line the tenants are served in turn, because a client may be a proxy of many people.
//
//   lines_   a: [tenants t: 2, u: 1 waiting; 1 running]   b: [t: 1 waiting]   c: [1 running]
//   turns_   b, a                                         the lines that have an item and a free worker of their share
//
// Threads: safe, any number of producers and consumers.
template <typename T>
class FairQueue {
 public:
  struct Limits {
    size_t capacity = 0;       // items that wait
    size_t share = 0;          // … of one client
    size_t running_share = 0;  // items of one client that are in work; at least 1
  };
  enum class Pushed { kTaken, kFull, kShareIsFull, kClosed };

  // An item in work. Its destructor frees the worker of its client's share.
  class Turn {
   public:
    Turn(FairQueue& queue, std::string client, T taken)
        : item(std::move(taken)), queue_(&queue), client_(std::move(client)) {}
    Turn(Turn&& other) noexcept
        : item(std::move(other.item)),
          queue_(std::exchange(other.queue_, nullptr)),
          client_(std::move(other.client_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (queue_ != nullptr) queue_->Finish(client_);
    }
    T item;

   private:
    FairQueue* queue_;
    std::string client_;
  };

  explicit FairQueue(const Limits& limits) : limits_(limits) {}

  // The item stays with the caller, unchanged, unless it is taken.
  Pushed TryPush(const Sender& sender, T&& item) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (closed_) return Pushed::kClosed;
    if (waiting_ >= limits_.capacity) return Pushed::kFull;
    const auto found = lines_.find(sender.client);
    if (found != lines_.end() && found->second.waiting >= limits_.share) return Pushed::kShareIsFull;
    Line& line = found != lines_.end() ? found->second : lines_[sender.client];
    std::deque<T>& own = line.by_tenant[sender.tenant];
    if (own.empty()) line.tenants.push_back(sender.tenant);
    own.push_back(std::move(item));
    ++line.waiting;
    ++waiting_;
    TakePlace(sender.client, line);
    return Pushed::kTaken;
  }

  // Waits for the next item. Returns nothing once the queue is closed.
  std::optional<Turn> Pop() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (turns_.empty() && !closed_) changed_.Wait(mutex_);
    if (closed_) return std::nullopt;
    std::string client = std::move(turns_.front());
    turns_.pop_front();
    Line& line = lines_.at(client);
    line.has_turn = false;
    T item = line.TakeNext();
    --waiting_;
    ++line.running;
    TakePlace(client, line);
    return std::optional<Turn>(std::in_place, *this, std::move(client), std::move(item));
  }

  // Refuses further items, wakes every waiter, and returns what waits. Idempotent.
  std::vector<T> Close() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    std::vector<T> left;
    for (auto& [client, line] : lines_) {
      while (line.waiting > 0) left.push_back(line.TakeNext());
    }
    waiting_ = 0;
    turns_.clear();
    changed_.NotifyAll();
    return left;
  }

 private:
  struct Line {
    // Of the tenant whose turn it is. Requires: waiting > 0.
    T TakeNext() {
      std::string tenant = std::move(tenants.front());
      tenants.pop_front();
      const auto own = by_tenant.find(tenant);
      T item = std::move(own->second.front());
      own->second.pop_front();
      if (own->second.empty()) {
        by_tenant.erase(own);
      } else {
        tenants.push_back(std::move(tenant));
      }
      --waiting;
      return item;
    }

    std::unordered_map<std::string, std::deque<T>> by_tenant;  // what waits; none is empty
    std::deque<std::string> tenants;                           // of by_tenant, in the order of their turns
    size_t waiting = 0;                                        // of all tenants
    size_t running = 0;
    bool has_turn = false;  // it is in turns_
  };

  void TakePlace(const std::string& client, Line& line) REQUIRES(mutex_) {
    if (line.has_turn || line.waiting == 0 || line.running >= limits_.running_share) return;
    line.has_turn = true;
    turns_.push_back(client);
    changed_.NotifyOne();
  }

  void Finish(const std::string& client) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = lines_.find(client);
    Line& line = found->second;
    --line.running;
    TakePlace(client, line);
    if (line.waiting == 0 && line.running == 0) lines_.erase(found);
  }

  const Limits limits_;
  Mutex mutex_;
  CondVar changed_;
  std::unordered_map<std::string, Line> lines_ GUARDED_BY(mutex_);
  std::deque<std::string> turns_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi
