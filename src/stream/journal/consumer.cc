#include "stream/journal/consumer.h"

#include <utility>

#include "base/format.h"

namespace mi::stream {
namespace {

// A poll ends early at this many bytes of labels: a single series may have 64 KiB.
constexpr uint64_t kMaxPolledBytes = 64ULL << 20;

}  // namespace

Result<std::unique_ptr<JournalConsumer>> JournalConsumer::Open(const JournalOptions& options,
                                                               const std::atomic<int>* lock_wait_ms,
                                                               JournalProgress& progress, JournalPublisher& publisher,
                                                               const StreamDeps& deps) {
  std::unique_ptr<JournalConsumer> consumer(
      new JournalConsumer(TRY(OpenJournalDatabase(options, lock_wait_ms)), progress, publisher, options, deps));
  TRY(consumer->Prepare());
  TRY(consumer->ReadIdentity());
  return consumer;
}

Status JournalConsumer::Prepare() {
  TRY(database_.PrepareEach(
      {{read_, "SELECT offset, series, seen_at_ms, bytes FROM batch WHERE offset >= ? AND offset < ? ORDER BY offset"},
       {dead_letter_, "INSERT INTO dead_letter (offset, time_ms, reason, bytes) VALUES (?, ?, ?, ?)"},
       // Keeps the newest that fit below the bound, and the newest one whatever its size.
       {drop_dead_letters_,
        "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM (SELECT id, row_number() OVER newest AS n, "
        "sum(length(bytes)) OVER newest AS bytes FROM dead_letter WINDOW newest AS (ORDER BY id DESC)) "
        "WHERE bytes > ? AND n > 1)"}}));
  dead_letter_bytes_ = TRY(database_.QueryInt("SELECT coalesce(sum(length(bytes)), 0) FROM dead_letter"));
  return {};
}

Status JournalConsumer::ReadIdentity() {
  sqlite::Statement meta = TRY(database_.Prepare(
      "SELECT (SELECT value FROM meta WHERE key = 'uuid'), (SELECT value FROM meta WHERE key = 'uuid_since')"));
  TRY(meta.Step());
  uuid_ = meta.Text(0);
  uuid_since_ = meta.Int(1);
  return {};
}

Status JournalConsumer::Start(PositionLookup positions) {
  positions_ = std::move(positions);
  start_ = {};
  return Rewind();
}

// Compares the store's position with the rows that the journal has:
//
//        first_offset          next_offset
//   ----------[===== rows ======)------------
//     ^              ^                ^
//     |              |                the journal is an older copy: it gets a new identity and is read completely
//     |              the usual case: continue here
//     the catalogue is an older backup, or new: the rows in between are deleted already, continue at the first row
Status JournalConsumer::Rewind() {
  const std::optional<int64_t> stored = TRY(positions_(uuid_, 0));
  const int64_t first_offset = TRY(FirstOffset());
  const int64_t next_offset = progress_.end().next_offset;
  const int64_t applied = stored.value_or(uuid_since_);
  position_ = std::max(applied, first_offset);
  if (applied > next_offset) {
    start_.store_ahead = applied - next_offset;
    TRY(WriteNewIdentity(first_offset));
    TRY(ReadIdentity());
    position_ = first_offset;
    deps_.log.Warn(
        "journal: the catalogue is {} offsets ahead of {}: the journal is an older copy, or has lost its last rows. It "
        "gets a new identity ({}) and is read again from its first row; series that were only in the lost rows return "
        "when senders repeat them",
        start_.store_ahead, database_.path(), uuid_);
  } else if (applied < first_offset) {
    start_.trimmed_unapplied = first_offset - applied;
    deps_.log.Warn(
        "journal: the catalogue has applied {} up to offset {}, but the journal begins at {}: {} batches are deleted "
        "already. The catalogue is an older backup or a new one; what is missing returns when senders repeat it",
        database_.path(), applied, first_offset, start_.trimmed_unapplied);
  }
  return SetLag();
}

// Offsets continue, and the store has no position for the new identity, so none of its positions can skip a row.
Status JournalConsumer::WriteNewIdentity(int64_t first_offset) {
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database_));
  TRY(database_.Exec("UPDATE meta SET value = lower(hex(randomblob(16))) WHERE key = 'uuid'"));
  sqlite::Statement since = TRY(database_.Prepare("UPDATE meta SET value = ? WHERE key = 'uuid_since'"));
  TRY(since.Bind(1, first_offset).Run());
  return transaction.Commit();
}

// The series of a damaged row were acknowledged, so the table of known series has them, and nobody can tell which they
// are. So the process ends. No snapshot of that table has the new identity: the restart fills the table from the
// catalogue, and the series count as new when they are sent again. Rows before `read_before` are in the catalogue or
// among the dead letters.
Status JournalConsumer::ForgetDamagedRows(int64_t read_before) {
  TRY(WriteNewIdentity(read_before));
  deps_.fatal(Error(Errc::kCorrupt, format("{}: {} rows were damaged, and are dead letters now, or missing; series "
                                           "that only they held come back after the restart, when senders repeat them",
                                           database_.path(), std::exchange(damaged_rows_, 0))));
  return {};
}

Result<int64_t> JournalConsumer::FirstOffset() {
  const int64_t next_offset = progress_.end().next_offset;  // read first: rows appended meanwhile have greater offsets
  const int64_t first_offset = TRY(database_.QueryInt("SELECT coalesce(min(offset), 0) FROM batch"));
  return first_offset == 0 ? next_offset : first_offset;
}

Status JournalConsumer::SetLag() {
  const JournalProgress::End end = progress_.end();
  sqlite::Statement waiting = TRY(database_.Prepare(
      "SELECT coalesce(sum(series), 0), (SELECT seen_at_ms FROM batch WHERE offset >= ?1 ORDER BY offset LIMIT 1) "
      "FROM batch WHERE offset >= ?1 AND offset < ?2"));
  TRY(waiting.Bind(1, position_).Bind(2, end.next_offset).Step());
  progress_.SetWaiting(end, static_cast<uint64_t>(waiting.Int(0)), waiting.Int(1));
  polled_ = 0;
  return {};
}

// Reads the rows [position_, end). `end` is what the publisher has reported after its commit, so a row is never
// returned before it is durable. The series of a poll count as applied when the next poll begins, since the worker
// polls again only after it has applied them. Nothing is written: a crash continues at the position that the store has.
//
// Cost: one query and one read transaction, which ends before Poll returns. Neither blocks the publisher.
Result<Polled> JournalConsumer::Poll(size_t max_series, std::chrono::milliseconds max_wait) {
  progress_.Applied(std::exchange(polled_, 0));
  const JournalProgress::End end = progress_.WaitBeyond(position_, std::chrono::steady_clock::now() + max_wait);
  Polled polled;
  const int64_t begin = position_;
  const int64_t damaged_before = damaged_rows_;
  if (end.next_offset <= position_) {
    progress_.SetWaiting(end, 0, 0);
    if (damaged_rows_ > 0) TRY(ForgetDamagedRows(begin));
    return polled;
  }
  Status read = ReadRows(max_series, end.next_offset, polled);
  read_.Reset();  // ends the read transaction: a checkpoint cannot move past an open one
  if (read) read = HandleDamage(begin, damaged_before);
  if (read) return polled;
  position_ = begin;  // these rows are polled again
  polled_ = 0;
  damaged_rows_ = damaged_before;
  if (read.error().code() == Errc::kCorrupt) deps_.fatal(read.error());
  return Fail(read.error());
}

// `begin`: where the poll began that has just read its rows. The identity changes before a position behind a damaged
// row can be stored, so that a stop or a crash from now on leaves no snapshot that counts. Rows that are damaged
// together end the process once: after the poll that has read the last of them was applied.
Status JournalConsumer::HandleDamage(int64_t begin, int64_t damaged_before) {
  if (damaged_rows_ > damaged_before) return WriteNewIdentity(begin);
  return damaged_rows_ > 0 ? ForgetDamagedRows(begin) : Status();
}

Status JournalConsumer::ReadRows(size_t max_series, int64_t end, Polled& polled) {
  read_.Bind(1, position_).Bind(2, end);
  uint64_t bytes = 0;
  uint64_t series = 0;  // as the rows state, including damaged ones
  int64_t next = position_;
  while (TRY(read_.Step())) {
    const auto series_here = static_cast<uint64_t>(read_.Int(1));
    if (next == position_) {
      progress_.SetOldest(read_.Int(2));
    } else if (series + series_here > max_series || bytes > kMaxPolledBytes) {
      break;
    }
    if (read_.Int(0) > next) NoteGap(next, read_.Int(0));
    next = read_.Int(0) + 1;
    series += series_here;
    bytes += Decode(read_.Blob(3), next, polled);
  }
  if (next == position_) {  // only released rows are deleted, and none is released before it is read
    NoteGap(next, end);
    next = end;
  }
  position_ = next;
  polled_ = series;
  polled.next = {At(next)};
  return {};
}

// Offsets ascend by one, so the rows in between are damaged, or somebody has deleted them.
void JournalConsumer::NoteGap(int64_t expected, int64_t found) {
  damaged_rows_ += found - expected;
  deps_.log.Error("journal: rows {} to {} of {} are missing", expected, found - 1, database_.path());
}

// Returns the size of the row's labels.
uint64_t JournalConsumer::Decode(std::string_view row, int64_t next_offset, Polled& polled) {
  Result<std::vector<model::SeriesBatch>> batches = decoder_.Decode(row);
  if (!batches) {
    ++damaged_rows_;
    polled.poison.push_back({At(next_offset), std::string(row), batches.error().message()});
    return row.size();
  }
  uint64_t bytes = 0;
  for (model::SeriesBatch& batch : *batches) {
    bytes += batch.byte_size();
    polled.series += batch.size();
    polled.batches.push_back(std::move(batch));
  }
  return bytes;
}

// Written on this connection: it is rare, and the writing thread holds its lock for milliseconds only. Not bounded by
// max_bytes: a full journal would stay full forever behind a row that cannot be put aside.
Status JournalConsumer::DeadLetter(const PoisonRecord& record) {
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database_));
  TRY(dead_letter_.Bind(1, record.at.next_offset - 1)
          .Bind(2, deps_.clock.NowMs())
          .BindText(3, record.reason)
          .BindBlob(4, record.bytes)
          .Run());
  int64_t held = dead_letter_bytes_ + static_cast<int64_t>(record.bytes.size());
  if (held > max_dead_letter_bytes_) held = TRY(DropOldestDeadLetters());
  TRY(transaction.Commit());
  dead_letter_bytes_ = held;
  return {};
}

// Down to three quarters of the bound, so that the next letter does not have to drop again.
Result<int64_t> JournalConsumer::DropOldestDeadLetters() {
  TRY(drop_dead_letters_.Bind(1, max_dead_letter_bytes_ / 4 * 3).Run());
  deps_.log.Warn("journal: dead letters above {}: the {} oldest were dropped",
                 FormatBytes(static_cast<uint64_t>(max_dead_letter_bytes_)), database_.changes());
  return database_.QueryInt("SELECT coalesce(sum(length(bytes)), 0) FROM dead_letter");
}

void JournalConsumer::Release(std::span<const StreamPosition> durable) {
  for (const StreamPosition& position : durable) {
    if (position.stream == uuid_) publisher_.Trim(std::min(position.next_offset, position_));
  }
}

}  // namespace mi::stream
