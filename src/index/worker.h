// Carries what is in the stream into the store, in order, each batch with the position behind it in one transaction.
//
// One thread does it all: poll, apply, tell the listener, now and then a checkpoint, after which the stream may forget.
// It stops at the first failure and tries the same batch again, for as long as it takes: a position never passes what
// was not applied. What can never succeed is put aside, alone, with its reason. Between polls it applies activity, in
// chunks, so that neither starves the other.
//
// Ownership: borrows everything; nothing may go before Stop() or the destructor.
// Memory that runs out is such a failure too: the worker goes back to where the store is.
// Threads: Seek, Start and Stop one after the other, whichever thread calls; RequestStop() and Health() from any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "index/applier.h"
#include "index/index_metrics.h"
#include "index/listener.h"
#include "store/ports.h"
#include "stream/activity_queue.h"
#include "stream/ports.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::index {

struct WorkerOptions {
  size_t max_series = 10'000;                 // a transaction
  std::chrono::milliseconds max_wait{1'000};  // how long a poll waits: the delay of activity on a quiet system
  std::chrono::milliseconds checkpoint_interval{5'000};  // at the latest; at once when nothing is left to apply
  uint64_t checkpoint_series = 500'000;                  // or after so many
  size_t activity_chunk = 4'096;                         // fingerprints a transaction
  std::chrono::milliseconds min_retry{20};               // doubled with each failure
  std::chrono::milliseconds max_retry{5'000};
  std::chrono::milliseconds stop_activity{1'000};  // how long a stop goes on applying activity that waits
  std::chrono::milliseconds position_interval{
      10'000};  // how often the store's positions are looked at when all is idle
  StoreFigures store_figures = StoreFigures::kByWorker;
};

struct WorkerDeps {
  stream::SeriesConsumer& consumer;
  store::SeriesStore& store;
  IndexListener& listener;
  stream::ActivityQueue* activity;  // may be null
  const Clock& clock;
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
  LagProbe& lag;  // of all workers
};

class Worker {
 public:
  Worker(const WorkerOptions& options, const WorkerDeps& deps);
  ~Worker();

  // Starts the consumer where the store left off. Optional: without it the thread does that, and tries again until it
  // succeeds. Call it to know the stream's identity, or its errors, before anything else begins.
  Status Seek();
  void Start();
  // Asks for the end, which Stop() waits for. From any thread.
  void RequestStop();
  // Finishes the transaction that is under way, makes a checkpoint and releases what it covers; not when the store is
  // away: what it does not have is read again.
  void Stop();

  // Why nothing is indexed at the moment; success while it works.
  Status Health() const { return retry_.Health(); }

 private:
  using Steady = std::chrono::steady_clock;
  using Partition = std::pair<std::string, int32_t>;

  void Run();
  // Runs it; when memory is short, waits, and sees to it that reading begins anew where the store is.
  template <typename Work>
  void WithinMemory(Work work);
  bool SeekUntilDone();
  void NoteStored(const Partition& partition, std::optional<int64_t> position);
  void Step();
  bool Handle(const stream::Polled& polled);
  // Applies chunks for `budget`, at least one.
  void ApplyActivity(Steady::duration budget);
  // Whether the store is still where we left it: one that was restored from a backup would be noticed with the next
  // record, and perhaps none comes.
  void ComparePositionsWhenDue();
  void MakeCheckpointWhenDue(bool idle);
  void MakeCheckpoint();

  const WorkerOptions options_;
  const WorkerDeps deps_;
  StopSignal stop_;
  IndexMetrics metrics_;
  Retry retry_;
  Applier applier_;
  bool started_ = false;  // the consumer has been
  bool sought_ = false;   // and stands where the store is

  // The thread's alone.
  std::vector<model::ActivityBatch> activity_;  // taken, not applied
  std::map<Partition, int64_t> applied_;
  std::map<Partition, int64_t> stored_;  // where the store is, as it said or we applied
  uint64_t uncovered_series_ = 0;
  bool quiet_ = true;       // the last checkpoint covered no new series
  bool uncovered_ = false;  // something was applied that no checkpoint covers
  Steady::time_point last_checkpoint_;
  Steady::time_point compared_;  // the positions
  std::thread thread_;
};

}  // namespace mi::index
