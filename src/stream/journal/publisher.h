// Appends batches to the journal. One thread commits everything that waits in one transaction.
//
// Threads: safe; `done` is called by the writing thread, or by Publish if nothing is accepted. It must be quick: the
//          next commit waits for it.
// Errors: kOverloaded: journal.max_bytes is reached, too much waits, or the disk is full. kUnavailable: the file cannot
//         be written, or the publisher is stopped. kTooLarge: the batch can never fit. After a failure each publish
//         tries the journal again; if nobody publishes, it is tried at intervals.
#pragma once

#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "codec/journal_batch.h"
#include "stream/deps.h"
#include "stream/journal/file.h"
#include "stream/journal/journal.h"
#include "stream/journal/progress.h"

namespace mi::stream {

class JournalPublisher final : public SeriesPublisher {
 public:
  // `progress` must outlive it. `intact` says whether the files of the journal and of the catalogue are still in their
  // directory: what is written to a file that was deleted is lost with the process. It is asked after each commit,
  // before the answers, and before rows are deleted because the catalogue holds them. While it fails, no batch is
  // durable and no row is deleted. Threads: `intact` is called from several.
  JournalPublisher(JournalFile file, JournalProgress& progress, const JournalOptions& options, const StreamDeps& deps,
                   std::function<Status()> intact);
  ~JournalPublisher() override;

  void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) override EXCLUDES(mutex_);
  Status Health() const override EXCLUDES(mutex_);

  // Rows before `offset` may be deleted.
  void Trim(int64_t offset) EXCLUDES(mutex_);
  // Accepts no more, and returns when every batch that waited is answered.
  void Stop() EXCLUDES(mutex_);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct PendingBatch {
    std::shared_ptr<const model::SeriesBatch> batch;
    Done done;
    uint64_t bytes;
    TimePoint began;
  };
  struct Refusal {
    Error error;
    const char* reason;  // for the metrics
  };
  // The row for the batches [first, last) of a group, and why it is not written.
  struct GroupRow {
    size_t first;
    size_t last;
    JournalFile::Row row;
    std::optional<Refusal> refusal;
  };
  enum class Task { kAppend, kTrim, kProbe, kEnd };
  struct Work {
    Task task;
    std::vector<PendingBatch> group;
    int64_t trim_before;
  };

  void Run();
  Work NextWork() EXCLUDES(mutex_);
  Task AwaitTask() REQUIRES(mutex_);

  void Append(std::vector<PendingBatch>& group, int64_t trim_before);
  std::vector<GroupRow> Encode(const std::vector<PendingBatch>& group);
  void RefuseRowsWithoutRoom(std::vector<GroupRow>& rows, int64_t trim_before);
  Status Commit(std::span<const JournalFile::Row> rows, int64_t trim_before);
  void Answer(PendingBatch& pending, const std::optional<Refusal>& refusal) EXCLUDES(mutex_);
  // After each transaction: updates what Health() and Publish() depend on.
  void NoteOutcome(const Status& outcome) EXCLUDES(mutex_);
  std::optional<Refusal> RefusalNow() const REQUIRES(mutex_);
  Error FullError(uint64_t row_bytes) const;

  const JournalOptions options_;
  const StreamDeps deps_;
  const std::function<Status()> intact_;
  JournalProgress& progress_;
  PublishMetrics metrics_;
  telemetry::Gauge& bytes_in_use_;
  JournalFile file_;  // file and encoder belong to the writing thread
  codec::JournalEncoder encoder_;

  mutable Mutex mutex_;
  CondVar work_;
  CondVar answered_;
  std::vector<PendingBatch> pending_ GUARDED_BY(mutex_);
  uint64_t pending_bytes_ GUARDED_BY(mutex_) = 0;  // of the batches that wait and of the group that is being written
  int64_t trim_before_ GUARDED_BY(mutex_) = 0;
  int64_t first_offset_ GUARDED_BY(mutex_) = 0;  // this and the next three: as of the last transaction
  TimePoint last_write_ GUARDED_BY(mutex_);
  std::optional<Error> broken_ GUARDED_BY(mutex_);  // it failed
  std::optional<Error> full_ GUARDED_BY(mutex_);  // a row did not fit below max_bytes, and none has been deleted since
  bool writing_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool ending_ GUARDED_BY(mutex_) = false;
  std::thread writer_;
};

}  // namespace mi::stream
