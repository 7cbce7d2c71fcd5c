// Keeps a catalogue in step with a store that other processes write: new series by their ids, those that were committed
// out of order by asking for the gaps, moved times, metadata; and now and then whether the counts agree.
//
// When the store goes away the catalogue stays as it is, and goes on when it is back. When another one stands in its
// place (a backup was restored, a failover lost its tail), with or without a reading that failed in between, the
// catalogue is read anew, and answers from the old one meanwhile.
//
// Errors: Health(). Out of memory while it reads: a round that failed. While the catalogue takes what was read: see
// catalog.h.
// Ownership: borrows everything. Threads: one of its own; Start and Stop from one thread, Health() from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "catalog/catalog.h"
#include "catalog/gaps.h"
#include "catalog/stoppable_reader.h"
#include "store/ports.h"
#include "telemetry/log.h"

namespace mi::catalog {

struct FollowerOptions {
  std::chrono::milliseconds interval{1'000};
  // Of last_seen: a reading goes back by the longest transaction. Also of the question whether it is still that store.
  std::chrono::milliseconds moves_interval{10'000};
  std::chrono::milliseconds metadata_interval{60'000};
  std::chrono::milliseconds recount_interval{600'000};
  std::chrono::milliseconds longest_transaction{60'000};  // of the store's writers: a gap that is older stays one
  std::chrono::milliseconds max_retry{5'000};
  size_t max_gaps = 10'000;  // ranges of ids; what is forgotten above it comes with a recount
};

struct FollowerDeps {
  Catalog& catalog;
  store::CatalogReader& reader;
  const Clock& clock;
  telemetry::Logger& log;
  std::function<void()> on_loaded;  // once, from the follower's thread: the catalogue can be asked
};

class Follower {
 public:
  Follower(const FollowerOptions& options, FollowerDeps deps);
  ~Follower() { Stop(); }

  void Start();
  // Ends a long load early.
  void Stop();

  // One round: what the thread does again and again. Public for tests.
  Status Step();

  // Why the catalogue does not follow at the moment.
  Status Health() const EXCLUDES(mutex_);

 private:
  using Time = std::chrono::steady_clock::time_point;
  // A series that was read, by which a store that was restored is told: the ids behind a backup's end are given anew.
  struct Marker {
    uint64_t id;
    model::Fingerprint fingerprint;
    friend bool operator==(const Marker&, const Marker&) = default;
  };

  void Run();
  Status StepWithinMemory();
  void Note(const Status& round) EXCLUDES(mutex_);
  Status RecogniseWhenDue();
  // Whether this is still the store that was read; if not, begins anew.
  Status Recognise();
  Result<bool> MarkersStand();
  void BeginAnew(const store::CatalogState& state);
  Status ReadNewSeries();
  Status ReadGaps();
  Status ReadMovesWhenDue();
  Status ReadMetadataWhenDue();
  Status RecountWhenDue();

  const FollowerOptions options_;
  const FollowerDeps deps_;
  StopSignal stop_;
  StoppableReader reader_;

  // The thread's alone.
  std::optional<Time> recognised_;  // nothing after a failure: what comes back may be another store
  bool loaded_ = false;
  std::string uuid_;
  uint64_t seen_mark_ = 0;
  std::vector<Marker> markers_;  // ascending: the newest of each reading since it was last looked whether they stand
  Gaps gaps_;
  std::optional<Time> moves_read_;
  std::optional<Time> metadata_read_;
  Time recounted_;

  mutable Mutex mutex_;
  std::optional<Error> error_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace mi::catalog
