#include "stream/journal_consumer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/format.h"

namespace mi::stream {
namespace {

// A poll ends early at so many bytes of labels: series may be 64 KiB each.
constexpr uint64_t kMaxPolledBytes = 64ULL << 20;

}  // namespace

Result<std::unique_ptr<JournalConsumer>> JournalConsumer::Open(const JournalOptions& options,
                                                               const std::atomic<int>* lock_wait_ms, JournalTail& tail,
                                                               JournalPublisher& publisher, const JournalDeps& deps) {
  Result<sqlite::Database> database = OpenJournalDatabase(options, lock_wait_ms);
  if (!database) return Fail(database.error());
  std::unique_ptr<JournalConsumer> consumer(new JournalConsumer(std::move(*database), tail, publisher, options, deps));
  if (Status prepared = consumer->Prepare(); !prepared) return Fail(prepared.error());
  if (Status read = consumer->ReadIdentity(); !read) return Fail(read.error());
  return consumer;
}

Status JournalConsumer::Prepare() {
  Status prepared = database_.PrepareEach(
      {{read_, "SELECT offset, series, seen_at_ms, bytes FROM batch WHERE offset >= ? AND offset < ? ORDER BY offset"},
       {dead_letter_, "INSERT INTO dead_letter (offset, time_ms, reason, bytes) VALUES (?, ?, ?, ?)"},
       // The newest that fit in the bound stay, and the one just written whatever its size.
       {drop_dead_letters_,
        "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM (SELECT id, row_number() OVER newest AS n, "
        "sum(length(bytes)) OVER newest AS bytes FROM dead_letter WINDOW newest AS (ORDER BY id DESC)) "
        "WHERE bytes > ? AND n > 1)"}});
  if (!prepared) return prepared;
  const Result<int64_t> held = database_.QueryInt("SELECT coalesce(sum(length(bytes)), 0) FROM dead_letter");
  if (!held) return Fail(held.error());
  dead_letter_bytes_ = *held;
  return {};
}

Status JournalConsumer::ReadIdentity() {
  Result<sqlite::Statement> meta = database_.Prepare(
      "SELECT (SELECT value FROM meta WHERE key = 'uuid'), (SELECT value FROM meta WHERE key = 'uuid_since')");
  if (!meta) return Fail(meta.error());
  if (const Result<bool> row = meta->Step(); !row) return Fail(row.error());
  uuid_ = meta->Text(0);
  uuid_since_ = meta->Int(1);
  if (uuid_.empty()) return Fail(Errc::kCorrupt, format("{}: the journal has lost its uuid", database_.path()));
  return {};
}

Status JournalConsumer::Start(PositionLookup positions) {
  positions_ = std::move(positions);
  start_ = {};
  return Rewind();
}

// The store may be where the journal is, behind its first row (an older catalogue), or ahead of its end (an older
// journal).
Status JournalConsumer::Rewind() {
  const Result<std::optional<int64_t>> stored = positions_(uuid_, 0);
  if (!stored) return Fail(stored.error());
  const Result<int64_t> first_offset = FirstOffset();
  if (!first_offset) return Fail(first_offset.error());
  const int64_t next_offset = tail_.end().next_offset;
  const int64_t applied = stored->value_or(uuid_since_);
  position_ = std::max(applied, *first_offset);
  if (applied > next_offset) {
    start_.store_ahead = applied - next_offset;
    if (Status changed = ChangeIdentity(*first_offset); !changed) return changed;
    position_ = *first_offset;
    deps_.log.Warn(
        "journal: the catalogue is {} offsets ahead of {}: the journal is an older copy. It gets a new identity ({}) "
        "and is read again from its first row; series that were only in the lost rows come back as senders repeat them",
        start_.store_ahead, database_.path(), uuid_);
  } else if (applied < *first_offset) {
    start_.trimmed_unapplied = *first_offset - applied;
    deps_.log.Warn(
        "journal: the catalogue has applied {} up to offset {}, but the journal begins at {}: {} batches were trimmed "
        "already. The catalogue is an older backup or a new one; what is missing comes back as senders repeat it",
        database_.path(), applied, *first_offset, start_.trimmed_unapplied);
  }
  return SetLag();
}

// Offsets go on, so that nothing of the new identity can be mistaken for what the store has.
Status JournalConsumer::ChangeIdentity(int64_t first_offset) {
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
  if (!transaction) return Fail(transaction.error());
  if (Status s = database_.Exec("UPDATE meta SET value = lower(hex(randomblob(16))) WHERE key = 'uuid'"); !s) return s;
  Result<sqlite::Statement> since = database_.Prepare("UPDATE meta SET value = ? WHERE key = 'uuid_since'");
  if (!since) return Fail(since.error());
  if (Status updated = since->Bind(1, first_offset).Run(); !updated) return updated;
  if (Status committed = transaction->Commit(); !committed) return committed;
  return ReadIdentity();
}

Result<int64_t> JournalConsumer::FirstOffset() {
  const int64_t next_offset = tail_.end().next_offset;  // before the query: what comes meanwhile has a greater one
  const Result<int64_t> first_offset = database_.QueryInt("SELECT coalesce(min(offset), 0) FROM batch");
  if (!first_offset || *first_offset != 0) return first_offset;
  return next_offset;
}

Status JournalConsumer::SetLag() {
  const JournalTail::End end = tail_.end();
  Result<sqlite::Statement> waiting = database_.Prepare(
      "SELECT coalesce(sum(series), 0), (SELECT seen_at_ms FROM batch WHERE offset >= ?1 ORDER BY offset LIMIT 1) "
      "FROM batch WHERE offset >= ?1 AND offset < ?2");
  if (!waiting) return Fail(waiting.error());
  waiting->Bind(1, position_).Bind(2, end.next_offset);
  if (const Result<bool> row = waiting->Step(); !row) return Fail(row.error());
  tail_.SetWaiting(end, static_cast<uint64_t>(waiting->Int(0)), waiting->Int(1));
  polled_ = 0;
  return {};
}

Result<Polled> JournalConsumer::Poll(size_t max_series, std::chrono::milliseconds max_wait) {
  tail_.Applied(std::exchange(polled_, 0));
  const JournalTail::End end = tail_.WaitBeyond(position_, std::chrono::steady_clock::now() + max_wait);
  Polled polled;
  if (end.next_offset <= position_) return polled;
  // Ends the read transaction, or no checkpoint could pass it.
  struct Reading {
    sqlite::Statement& rows;
    ~Reading() { rows.Reset(); }
  } const reading{read_};
  if (const Status read = ReadRows(max_series, end.next_offset, polled); !read) return Fail(read.error());
  return polled;
}

Status JournalConsumer::ReadRows(size_t max_series, int64_t end, Polled& polled) {
  read_.Bind(1, position_).Bind(2, end);
  uint64_t bytes = 0;
  uint64_t waiting = 0;  // series as the rows claim, poisoned ones too
  int64_t next = position_;
  for (;;) {
    const Result<bool> row = read_.Step();
    if (!row) return Fail(row.error());
    if (!*row) break;
    const auto series = static_cast<uint64_t>(read_.Int(1));
    if (next == position_) {
      tail_.SetOldest(read_.Int(2));
    } else if (waiting + series > max_series || bytes > kMaxPolledBytes) {
      break;
    }
    next = read_.Int(0) + 1;
    waiting += series;
    bytes += Decode(read_.Blob(3), next, polled);
  }
  const bool gone = next == position_;
  if (gone) {
    deps_.log.Warn("journal: {} has no rows from {} to {}, although nobody released them", database_.path(), position_,
                   end - 1);
    next = end;
  }
  position_ = next;
  polled_ = waiting;
  polled.next = {At(next)};
  return gone ? SetLag() : Status();
}

// Gives the bytes of labels that the row held.
uint64_t JournalConsumer::Decode(std::string_view row, int64_t next_offset, Polled& polled) {
  Result<std::vector<model::SeriesBatch>> batches = decoder_.Decode(row);
  if (!batches) {
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

// Written on this connection: rare, and the writing thread's lock is held for milliseconds. Not held to max_bytes: the
// journal would stay full for ever behind a row that cannot be put aside.
Status JournalConsumer::DeadLetter(const PoisonRecord& record) {
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
  if (!transaction) return Fail(transaction.error());
  const Status inserted = dead_letter_.Bind(1, record.at.next_offset - 1)
                              .Bind(2, deps_.clock.NowMs())
                              .BindText(3, record.reason)
                              .BindBlob(4, record.bytes)
                              .Run();
  if (!inserted) return inserted;
  int64_t held = dead_letter_bytes_ + static_cast<int64_t>(record.bytes.size());
  if (held > max_dead_letter_bytes_) {
    const Result<int64_t> left = DropOldestDeadLetters();
    if (!left) return Fail(left.error());
    held = *left;
  }
  if (Status committed = transaction->Commit(); !committed) return committed;
  dead_letter_bytes_ = held;
  return {};
}

// Down to three quarters of the bound, so that the next one does not have to drop again.
Result<int64_t> JournalConsumer::DropOldestDeadLetters() {
  const Status dropped = drop_dead_letters_.Bind(1, max_dead_letter_bytes_ / 4 * 3).Run();
  if (!dropped) return Fail(dropped.error());
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
