// How far the journal is written, and how far it is applied. The publisher's thread reports appends; the consumer waits
// for them here and reports what was applied.
//
// Threads: safe.
#pragma once

#include "base/mutex.h"
#include "stream/ports.h"

namespace mi::stream {

// The lag is the difference of two counters of series: appended since the journal was opened, and applied. Rows that
// were there before count as negative applied series (SetWaiting). So the lag costs a subtraction instead of a query.
class JournalProgress {
 public:
  // The committed end, and how many series were appended since the journal was opened. Read together, so that the
  // series up to an end can be counted while others are appended.
  struct End {
    int64_t next_offset;
    uint64_t appended;
  };

  explicit JournalProgress(int64_t next_offset) : end_{next_offset, 0} {}

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

  // Waits until the end is beyond `offset`, the deadline has passed, or Wake() was called. A Wake() ends one wait, also
  // one that starts later.
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

  // Sets the lag: at `end`, `waiting` series were not applied.
  void SetWaiting(const End& end, uint64_t waiting, int64_t oldest_seen_at_ms) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    applied_ = end.appended - waiting;  // may wrap below zero: only the difference is used
    oldest_seen_at_ms_ = oldest_seen_at_ms;
  }
  void Applied(uint64_t series) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    applied_ += series;
  }
  // When the oldest series that is not applied was received.
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
