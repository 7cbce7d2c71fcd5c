// Keeps a catalogue in step with a store that other processes write. It reads new series by their ids, series that were
// committed out of order by asking for the gaps between ids, changed times, and metadata. Now and then it compares the
// number of series.
//
// While the store is away, the catalogue stays as it is. A store that was replaced or restored is fatal, because ids
// then mean other series: the follower calls `fatal` and reads no more.
//
// Ownership: borrows everything. Threads: one of its own; Start and Stop from one thread, Health() from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/fatal.h"
#include "base/mutex.h"
#include "base/periodic.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "catalog/gaps.h"
#include "store/ports.h"
#include "telemetry/log.h"

namespace mi::catalog {

struct FollowerOptions {
  std::chrono::milliseconds interval{1'000};
  // Of changed times: each reading goes back by the longest transaction. Also of the check whether the store was
  // replaced.
  std::chrono::milliseconds moves_interval{10'000};
  std::chrono::milliseconds metadata_interval{60'000};
  std::chrono::milliseconds recount_interval{600'000};
  std::chrono::milliseconds longest_transaction{60'000};  // of the writers: an older gap is never filled
  std::chrono::milliseconds max_retry{5'000};
  size_t max_gaps = 10'000;  // ranges of ids; the recount finds the series in gaps that were forgotten
};

struct FollowerDeps {
  Catalog& catalog;
  store::CatalogReader& reader;
  const Clock& clock;
  telemetry::Logger& log;
  FatalHandler fatal;               // from the follower's thread
  std::function<void()> on_loaded;  // once, from the follower's thread: the catalogue is complete
};

class Follower {
 public:
  Follower(const FollowerOptions& options, FollowerDeps deps);
  ~Follower() { Stop(); }

  void Start();
  // Ends a long load early. Idempotent.
  void Stop();

  // One round of what the thread repeats. Public for tests.
  Status Step();

  // Why the catalogue does not follow the store at the moment.
  Status Health() const EXCLUDES(mutex_);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Marker {
    uint64_t id;
    model::Fingerprint fingerprint;
    friend bool operator==(const Marker&, const Marker&) = default;
  };

  void Run();
  void Note(const Status& round) EXCLUDES(mutex_);
  Status ReadNewSeries();
  Status CheckMarkers();
  Status ReadGaps();
  Status ReadMovesWhenDue();
  Status ReadMetadataWhenDue();
  Status RecountWhenDue();
  bool IsDue(const std::optional<Time>& last, std::chrono::milliseconds interval) const {
    return !last || deps_.clock.Steady() - *last >= interval;
  }

  const FollowerOptions options_;
  const FollowerDeps deps_;

  // The thread's alone.
  bool loaded_ = false;
  bool replaced_ = false;  // `fatal` was called
  std::string uuid_;       // of the store; empty until it was reached
  uint64_t seen_mark_ = 0;
  std::vector<Marker> markers_;  // the newest series of each reading since the last check; ascending
  std::optional<Time> markers_checked_;
  Gaps gaps_;
  std::optional<Time> moves_read_;
  std::optional<Time> metadata_read_;
  std::optional<Time> recounted_;
  Backoff backoff_;
  std::chrono::milliseconds pause_{0};

  mutable Mutex mutex_;
  std::optional<Error> error_ GUARDED_BY(mutex_);
  std::unique_ptr<Periodic> thread_;
};

}  // namespace mi::catalog
