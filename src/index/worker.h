// Carries the stream into the store, in order, each batch with the position behind it in one transaction.
//
// One thread does everything: it polls, applies, tells the listener, and now and then makes a checkpoint, after which
// the stream may forget. It stops at the first failure and repeats the same batch as long as necessary, so a position
// never passes a batch that was not applied. Records that can never be applied go to the dead letters, with the reason.
// Between polls it applies activity, in chunks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/stop_signal.h"
#include "index/applier.h"
#include "index/metrics.h"
#include "index/retry.h"

namespace mi::index {

struct WorkerOptions {
  size_t max_series = 10'000;                            // per transaction, if the store is fast enough
  std::chrono::milliseconds max_wait{1'000};             // of a poll: the delay of activity on a quiet system
  std::chrono::milliseconds checkpoint_interval{5'000};  // at the latest; at once if nothing is left to apply
  uint64_t checkpoint_series = 500'000;                  // or after so many
  size_t activity_chunk = 4'096;                         // fingerprints per transaction
  std::chrono::milliseconds min_retry{20};               // doubles with each failure
  std::chrono::milliseconds max_retry{5'000};
  std::chrono::milliseconds position_interval{10'000};  // how often an idle worker asks the store for a position
  std::chrono::milliseconds stall_after{60'000};        // without progress: see Progress()
  StoreFigures store_figures = StoreFigures::kByWorker;
};

// Ownership: borrows everything in its deps, which must outlive Stop() and the destructor.
// Threads: Seek, Start and Stop one after the other, from any thread; RequestStop and Health from any.
class Worker {
 public:
  Worker(const WorkerOptions& options, const WorkerDeps& deps);
  ~Worker() { Stop(); }

  // Starts the consumer where the store left off. Optional: otherwise the thread does it, and repeats it until it
  // succeeds. Call it to learn the stream's identity, or errors, before the rest begins.
  Status Seek();
  void Start();
  // Asks for the end without waiting for it.
  void RequestStop();
  // Finishes the transaction that is under way, makes a checkpoint and releases what it covers. If the store is away it
  // does neither: what the store does not have is read again after the next start. Idempotent.
  void Stop();

  // Why nothing is indexed at the moment; success while it works.
  Status Health() const;
  // kUnavailable if records wait and none was applied for WorkerOptions::stall_after, whatever the reason: an error
  // that does not end, or a call that does not return.
  Status Progress() const;

 private:
  using Steady = std::chrono::steady_clock;
  using Partition = std::pair<std::string, int32_t>;

  void Run();
  void Finish();
  void Step();
  void NoteProgress() { progressed_ms_ = SteadyMs(); }
  int64_t SteadyMs() const;
  // Applies chunks for `budget`, at least one.
  void ApplyActivity(Steady::duration budget);
  void AskPositionWhenDue();
  void MakeCheckpointWhenDue(bool idle);
  void MakeCheckpoint();

  const WorkerOptions options_;
  const WorkerDeps deps_;
  StopSignal stop_;
  IndexMetrics metrics_;
  Retry store_retry_;
  Retry stream_retry_;
  Applier applier_;
  bool sought_ = false;
  std::atomic<int64_t> progressed_ms_ = 0;  // when it applied something, or nothing waited; 0: it has not been started

  // Used by the thread only.
  std::vector<model::ActivityBatch> activity_;  // taken from the queue, not applied yet
  std::map<Partition, int64_t> applied_;        // the next offset of each partition
  std::optional<Partition> partition_;          // one that the store was asked for
  uint64_t uncovered_series_ = 0;               // applied since the last checkpoint
  bool uncovered_ = false;                      // something was applied that no checkpoint covers
  bool quiet_ = true;                           // the last checkpoint covered no new series
  Steady::time_point last_checkpoint_;
  Steady::time_point last_position_;  // when the store was asked for a position
  std::thread thread_;
};

}  // namespace mi::index
