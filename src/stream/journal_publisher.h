// Appends batches to the journal. Whatever waits is committed together, by one thread.
//
// Threads: safe; `done` is called from the writing thread, or from within Publish when nothing can be taken. It must be
//          quick: the next commit waits for it. When it throws std::bad_alloc it is called again a moment later.
// Errors: kOverloaded: journal.max_bytes is reached, too much waits already, or the disk is full. kUnavailable: the
//         file cannot be written, memory is short, or the publisher is stopped. kTooLarge: the batch can never fit.
//         After a failure the journal is tried again by each publish, and now and then without one.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "codec/journal_batch.h"
#include "stream/journal.h"
#include "stream/journal_file.h"
#include "stream/journal_metrics.h"
#include "stream/journal_tail.h"
#include "stream/ports.h"

namespace mi::stream {

class JournalPublisher final : public SeriesPublisher {
 public:
  // `tail` must outlive it.
  JournalPublisher(JournalFile file, JournalTail& tail, const JournalOptions& options, const JournalDeps& deps);
  ~JournalPublisher() override;

  void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) override EXCLUDES(mutex_);
  Status Health() const override EXCLUDES(mutex_);

  // Rows before `offset` may be deleted.
  void Trim(int64_t offset) EXCLUDES(mutex_);
  // Takes no more, and returns when all that waited is answered.
  void Stop() EXCLUDES(mutex_);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Pending {
    std::shared_ptr<const model::SeriesBatch> batch;
    Done done;
    uint64_t bytes;
    TimePoint began;
  };
  // The batches from `first` to before `last` of a group, as one row; or why they have none.
  struct Encoded {
    size_t first;
    size_t last;
    JournalFile::Row row;
    Status status;
    const char* reason;  // of a failure, as metrics name it
  };
  struct Refusal {
    Error error;
    const char* reason;
  };
  enum class Task { kAppend, kTrim, kProbe, kEnd };
  struct Work {
    Task task;
    std::vector<Pending> group;
    int64_t trim_before;
  };

  void Run();
  Work NextWork() EXCLUDES(mutex_);
  Task IdleTask() REQUIRES(mutex_);

  void Do(Work& work);
  void Append(std::vector<Pending>& group, int64_t trim_before);
  std::vector<Encoded> Encode(const std::vector<Pending>& group);
  void Admit(std::vector<Encoded>& encoded, int64_t trim_before);
  Status Commit(std::span<const JournalFile::Row> rows, int64_t trim_before);
  void Answer(std::vector<Pending>& group, const std::vector<Encoded>& encoded);
  void AnswerOne(Pending& pending, const Status& status, const char* reason) EXCLUDES(mutex_);
  // After each transaction: keeps what Health() and Publish() go by.
  void NoteOutcome(const Status& outcome) EXCLUDES(mutex_);
  std::optional<Refusal> RefusalNow() const REQUIRES(mutex_);
  Error FullError(uint64_t row_bytes) const;

  const JournalOptions options_;
  const JournalDeps deps_;
  JournalTail& tail_;
  JournalMetrics metrics_;
  JournalFile file_;  // the writing thread's alone, as is the encoder
  codec::JournalEncoder encoder_;

  mutable Mutex mutex_;
  CondVar work_;
  CondVar answered_;
  std::vector<Pending> pending_ GUARDED_BY(mutex_);
  uint64_t pending_bytes_ GUARDED_BY(mutex_) = 0;  // of what waits and of the group that is being written
  int64_t trim_before_ GUARDED_BY(mutex_) = 0;
  int64_t first_offset_ GUARDED_BY(mutex_) = 0;  // as of the last transaction, as is all below
  TimePoint last_write_ GUARDED_BY(mutex_);
  std::optional<Error> broken_ GUARDED_BY(mutex_);  // the last transaction failed
  std::optional<Error> full_ GUARDED_BY(mutex_);    // a row did not fit below max_bytes, and none has left since
  bool writing_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool ending_ GUARDED_BY(mutex_) = false;
  std::thread writer_;
};

}  // namespace mi::stream
