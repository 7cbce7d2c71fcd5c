// Where the journal ends and how far its reader has come: what the publisher's thread tells the consumer.
//
// Threads: safe.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/mutex.h"
#include "stream/ports.h"

namespace mi::stream {

class JournalTail {
 public:
  // The committed end, and how many series were appended since the journal was opened. Taken together, so that a count
  // of rows up to the end can be compared.
  struct End {
    int64_t next_offset;
    uint64_t appended;
  };

  explicit JournalTail(int64_t next_offset) : end_{next_offset, 0} {}

  // Rows up to `next_offset` are committed.
  void Appended(int64_t next_offset, uint64_t series, int64_t seen_at_ms) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (end_.appended == applied_) oldest_seen_at_ms_ = seen_at_ms;
      end_.next_offset = next_offset;
      end_.appended += series;
    }
    moved_.NotifyAll();
  }

  End end() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return end_;
  }

  // The end once it is behind `offset`; at the latest at the deadline or after a Wake(), which counts for one wait,
  // also for one that begins later.
  End WaitBeyond(int64_t offset, std::chrono::steady_clock::time_point deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (end_.next_offset <= offset && !woken_) {
      if (!moved_.WaitUntil(mutex_, deadline)) break;
    }
    if (end_.next_offset <= offset) woken_ = false;
    return end_;
  }

  void Wake() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      woken_ = true;
    }
    moved_.NotifyAll();
  }

  // Begins anew: when the journal ended at `end`, `waiting` series before that were not applied.
  void SetWaiting(const End& end, uint64_t waiting, int64_t oldest_seen_at_ms) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    applied_ = end.appended - waiting;  // may wrap below zero: only the difference counts
    oldest_seen_at_ms_ = oldest_seen_at_ms;
  }
  void Applied(uint64_t series) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    applied_ += series;
  }
  // The oldest that is not applied, once it is read.
  void SetOldest(int64_t seen_at_ms) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    oldest_seen_at_ms_ = seen_at_ms;
  }

  SeriesConsumer::Lag lag() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const uint64_t waiting = end_.appended - applied_;
    return {.records = waiting, .oldest_seen_at_ms = waiting == 0 ? 0 : oldest_seen_at_ms_};
  }

 private:
  mutable Mutex mutex_;
  CondVar moved_;
  End end_ GUARDED_BY(mutex_);
  uint64_t applied_ GUARDED_BY(mutex_) = 0;
  int64_t oldest_seen_at_ms_ GUARDED_BY(mutex_) = 0;
  bool woken_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::stream
