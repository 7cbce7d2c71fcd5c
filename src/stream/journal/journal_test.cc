#include "stream/journal/journal.h"

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "base/format.h"
#include "base/live.h"
#include "sqlite/database.h"
#include "stream/journal/file.h"
#include "stream/journal/wal_frames.h"
#include "stream/testing/contract_test.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string FreshDirectory() {
  std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  std::ranges::replace(name, '/', '.');
  std::string directory = testing::TempDir() + "journal." + name;
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  return directory;
}

// A second connection to the journal's file.
sqlite::Database OpenBeside(const std::string& path) { return sqlite::Database::Open(path, {}).value(); }

void InsertRow(const std::string& path, const std::string& bytes) {
  sqlite::Database database = OpenBeside(path);
  sqlite::Statement insert = database.Prepare("INSERT INTO batch (series, seen_at_ms, bytes) VALUES (1, 1, ?)").value();
  ASSERT_TRUE(insert.BindBlob(1, bytes).Run());
}

std::vector<std::pair<std::string, std::string>> ReadDeadLetters(const std::string& path) {
  sqlite::Database database = OpenBeside(path);
  sqlite::Statement select = database.Prepare("SELECT bytes, reason FROM dead_letter ORDER BY id").value();
  std::vector<std::pair<std::string, std::string>> letters;
  while (select.Step().value()) letters.emplace_back(select.Blob(0), select.Text(1));
  return letters;
}

class JournalUnderTest final : public StreamUnderTest {
 public:
  JournalUnderTest() { Restart(); }
  ~JournalUnderTest() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }
  SeriesPublisher& publisher() override { return journal_->publisher(); }
  SeriesConsumer& consumer() override { return journal_->consumer(); }
  void Restart() override {
    journal_.reset();
    journal_ =
        Journal::Open({.path = path_}, {clock_, *log_, *metrics_, [](const Error&) { /* poison ends the process */ }})
            .value();
  }
  void StopPublishing() override { journal_->Stop(); }
  void AppendPoison(const std::string& bytes) override { InsertRow(path_, bytes); }
  std::vector<std::pair<std::string, std::string>> DeadLetters() override { return ReadDeadLetters(path_); }

 private:
  const std::string directory_ = FreshDirectory();
  const std::string path_ = directory_ + "/journal.db";
  SystemClock clock_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  std::unique_ptr<Journal> journal_;
};

INSTANTIATE_TEST_SUITE_P(Journal, StreamContract,
                         testing::Values(ContractCase{"Journal", [] { return std::make_unique<JournalUnderTest>(); }}),
                         CaseName);

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    options_.path = directory_ + "/journal.db";
    options_.trim_after = milliseconds(0);
    options_.retry_interval = milliseconds(1);
  }
  ~JournalTest() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    journal_.reset();
    auto journal = Journal::Open(options_, deps_, [this] { return *intact_.Get(); });
    ASSERT_TRUE(journal) << journal.error().message();
    journal_ = std::move(*journal);
  }
  void Start() { ASSERT_TRUE(journal_->consumer().Start(stored_.Lookup())); }
  void OpenAndStart() {
    Open();
    Start();
  }
  PublishResult Publish(model::SeriesBatch batch) { return PublishAndWait(journal_->publisher(), std::move(batch)); }
  // Polls everything, stores the positions and releases them.
  std::vector<std::string> ApplyAll() {
    std::vector<std::string> identities;
    for (;;) {
      const Polled polled = journal_->consumer().Poll(100'000, milliseconds(0)).value();
      if (polled.empty()) break;
      stored_.Store(polled);
      for (std::string& identity : Identities(polled.batches)) identities.push_back(std::move(identity));
    }
    journal_->consumer().Release(stored_.all());
    return identities;
  }
  int64_t Count(const char* sql) { return OpenBeside(options_.path).QueryInt(sql).value(); }
  template <typename Condition>
  void Await(Condition holds) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  const std::string directory_ = FreshDirectory();
  JournalOptions options_;
  ManualClock clock_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  std::optional<Error> fatal_;
  Live<Status> intact_{Status()};
  const StreamDeps deps_{clock_, *log_, *metrics_, [this](const Error& error) { fatal_ = error; }};
  StoredPositions stored_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, CommitsEverythingThatWaitsAtOnce) {
  OpenAndStart();
  std::atomic<int> answers = 0;
  constexpr int kBatches = 500;
  {
    sqlite::Database other = OpenBeside(options_.path);
    const sqlite::Transaction lock = sqlite::Transaction::Begin(other).value();  // the first commit waits for it
    for (int i = 0; i < kBatches; ++i) {
      journal_->publisher().Publish(std::make_shared<const model::SeriesBatch>(MakeBatch(format("m{}", i), 1)),
                                    [&](const PublishResult& result) {
                                      EXPECT_TRUE(result.all_durable());
                                      ++answers;
                                      answers.notify_all();
                                    });
    }
    EXPECT_EQ(answers, 0);
  }
  for (int n = answers; n < kBatches; n = answers) answers.wait(n);
  EXPECT_LE(Count("SELECT count(*) FROM batch"), 2) << "small batches share a row";
  EXPECT_THAT(ApplyAll(), SizeIs(kBatches));
}

TEST_F(JournalTest, NeverUsesAnOffsetTwiceEvenAfterItWasEmptied) {
  for (int64_t i = 1; i <= 3; ++i) {
    OpenAndStart();
    EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
    EXPECT_EQ(journal_->End().next_offset, i + 1);
    EXPECT_THAT(ApplyAll(), SizeIs(1));
    Await([&] { return Count("SELECT count(*) FROM batch") == 0; });
  }
}

TEST_F(JournalTest, DeletesOnlyWhatWasReleased) {
  options_.trim_after = kPatience * 100;  // only appends delete
  OpenAndStart();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  const Polled first = journal_->consumer().Poll(1, kPatience).value();
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  EXPECT_EQ(Count("SELECT count(*) FROM batch"), 4);
  journal_->consumer().Release(first.next);
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  EXPECT_EQ(Count("SELECT min(offset) FROM batch"), 2);
  const StreamPosition beyond = {journal_->End().stream, 0, 1'000};
  journal_->consumer().Release(std::span(&beyond, 1));
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  EXPECT_EQ(Count("SELECT min(offset) FROM batch"), 2) << "never past what was read";
  const StreamPosition foreign = {"another journal", 0, 3};
  journal_->consumer().Release(std::span(&foreign, 1));
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  EXPECT_EQ(Count("SELECT min(offset) FROM batch"), 2);
}

TEST_F(JournalTest, RefusesWhatDoesNotFitUntilRowsAreDeleted) {
  options_.max_bytes = 512 << 10;
  OpenAndStart();
  PublishResult result;
  int taken = 0;
  for (; taken < 100; ++taken) {
    result = Publish(MakeIncompressibleBatch(64 << 10, taken));
    if (!result.all_durable()) break;
  }
  EXPECT_GE(taken, 4);
  EXPECT_LT(taken, 10);
  ASSERT_FALSE(result.failures.empty());
  EXPECT_EQ(result.failures[0].error.code(), Errc::kOverloaded);
  for (const char* part : {"limit 512 KiB", "journal.max_bytes", "in use"}) {
    EXPECT_THAT(result.failures[0].error.message(), HasSubstr(part));
  }
  EXPECT_FALSE(journal_->publisher().Health());
  EXPECT_THAT(Publish(MakeBatch("small", 1)).failures, SizeIs(1)) << "full for all: a sender's order stays";
  ApplyAll();
  Await([&] { return journal_->publisher().Health().has_value(); });
  EXPECT_TRUE(Publish(MakeIncompressibleBatch(64 << 10, 1)).all_durable());
  EXPECT_LE(std::filesystem::file_size(options_.path), options_.max_bytes);
}

TEST_F(JournalTest, ReportsABatchThatCanNeverFit) {
  options_.max_bytes = 256 << 10;
  OpenAndStart();
  const PublishResult result = Publish(MakeIncompressibleBatch(512 << 10, 1));
  ASSERT_FALSE(result.all_durable());
  EXPECT_EQ(result.failures[0].error.code(), Errc::kTooLarge);
  EXPECT_TRUE(journal_->publisher().Health());
  EXPECT_TRUE(Publish(MakeBatch("small", 1)).all_durable());
}

TEST_F(JournalTest, BoundsTheBatchesThatWait) {
  options_.max_pending_bytes = 100;
  OpenAndStart();
  std::atomic<int> answers = 0;
  {
    sqlite::Database other = OpenBeside(options_.path);
    const sqlite::Transaction lock = sqlite::Transaction::Begin(other).value();
    journal_->publisher().Publish(std::make_shared<const model::SeriesBatch>(MakeBatch("first", 10)),
                                  [&](const PublishResult& result) {
                                    EXPECT_TRUE(result.all_durable());
                                    answers = 1;
                                    answers.notify_all();
                                  });
    const PublishResult refused = Publish(MakeBatch("second", 1));
    ASSERT_THAT(refused.failures, SizeIs(1));
    EXPECT_EQ(refused.failures[0].error.code(), Errc::kOverloaded);
  }
  answers.wait(0);
  Await([&] { return Publish(MakeBatch("third", 1)).all_durable(); });
}

TEST_F(JournalTest, StopsWhileAnotherProcessKeepsTheLock) {
  options_.lock_wait = kPatience * 100;
  OpenAndStart();
  sqlite::Database other = OpenBeside(options_.path);
  const sqlite::Transaction lock = sqlite::Transaction::Begin(other).value();
  std::promise<PublishResult> answer;
  journal_->publisher().Publish(std::make_shared<const model::SeriesBatch>(MakeBatch("a", 1)),
                                [&](PublishResult result) { answer.set_value(std::move(result)); });
  journal_->Stop();
  const PublishResult refused = answer.get_future().get();
  ASSERT_THAT(refused.failures, SizeIs(1));
  EXPECT_EQ(refused.failures[0].error.code(), Errc::kUnavailable);
  journal_.reset();
}

TEST_F(JournalTest, BoundsTheWalWhileAnotherProcessReads) {
  options_.max_wal_bytes = 1 << 20;
  OpenAndStart();
  sqlite::Database reader = OpenBeside(options_.path);
  ASSERT_TRUE(reader.Exec("BEGIN"));
  EXPECT_EQ(reader.QueryInt("SELECT count(*) FROM batch"), 0);
  PublishResult result;
  for (int i = 0; i < 100; ++i) {
    result = Publish(MakeIncompressibleBatch(64 << 10, static_cast<uint64_t>(i)));
    if (!result.all_durable()) break;
    ApplyAll();  // applied rows are deleted, so max_bytes does not bound the WAL
  }
  ASSERT_FALSE(result.failures.empty());
  EXPECT_EQ(result.failures[0].error.code(), Errc::kOverloaded);
  for (const char* part : {"journal.db-wal", "limit 1 MiB", "another process"}) {
    EXPECT_THAT(result.failures[0].error.message(), HasSubstr(part));
  }
  EXPECT_FALSE(journal_->publisher().Health());
  EXPECT_LT(std::filesystem::file_size(options_.path + "-wal"), 2U << 20);
  ASSERT_TRUE(reader.Exec("COMMIT"));
  Await([&] { return journal_->publisher().Health().has_value(); });
  EXPECT_TRUE(Publish(MakeIncompressibleBatch(64 << 10, 1)).all_durable());
}

TEST_F(JournalTest, ReturnsADamagedRowAsPoison) {
  OpenAndStart();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(Publish(MakeBatch(name, 5)).all_durable());
  ASSERT_TRUE(OpenBeside(options_.path)
                  .Exec("UPDATE batch SET bytes = CAST(substr(bytes, 1, length(bytes) - 1) || x'00' AS BLOB) "
                        "WHERE offset = 2"));
  const Polled polled = journal_->consumer().Poll(100, kPatience).value();
  EXPECT_EQ(polled.series, 10U);
  ASSERT_THAT(polled.poison, SizeIs(1));
  EXPECT_EQ(polled.poison[0].at.next_offset, 3);
  EXPECT_EQ(polled.next[0].next_offset, 4);
  EXPECT_EQ(journal_->consumer().CurrentLag().records, 15U);
  EXPECT_TRUE(journal_->consumer().Poll(100, milliseconds(0)).value().empty());
  EXPECT_EQ(journal_->consumer().CurrentLag().records, 0U);
}

TEST_F(JournalTest, IsFatalWhenRowsAreDeletedBeforeTheyAreRead) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  ASSERT_TRUE(OpenBeside(options_.path).Exec("DELETE FROM batch"));
  const std::string uuid = journal_->End().stream;
  EXPECT_TRUE(journal_->consumer().Poll(100, kPatience));
  EXPECT_TRUE(journal_->consumer().Poll(100, milliseconds(0)));
  ASSERT_TRUE(fatal_);
  EXPECT_THAT(fatal_->message(), HasSubstr("1 rows were damaged"));
  // The restart continues after them, with an identity that no snapshot has.
  OpenAndStart();
  EXPECT_NE(journal_->End().stream, uuid);
  EXPECT_TRUE(Publish(MakeBatch("b", 1)).all_durable());
  EXPECT_THAT(ApplyAll(), ElementsAre("b_0{job=\"contract\"}"));
}

TEST_F(JournalTest, EndsTheProcessOnlyOnceIfTheLastRowsAreMissingAndEarlierOnesAreNot) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  stored_.Store(journal_->consumer().Poll(100, kPatience).value());
  EXPECT_TRUE(Publish(MakeBatch("lost", 1)).all_durable());
  ASSERT_TRUE(OpenBeside(options_.path).Exec("DELETE FROM batch WHERE offset = 2"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(journal_->consumer().Poll(100, milliseconds(0)));
  EXPECT_TRUE(fatal_);
  fatal_.reset();
  OpenAndStart();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(journal_->consumer().Poll(100, milliseconds(0)));
  EXPECT_FALSE(fatal_);
}

TEST_F(JournalTest, AcknowledgesNothingAndDeletesNothingOnceItsFilesAreGone) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("before", 1)).all_durable());
  intact_.Set(Fail(Errc::kUnavailable, "journal.db was deleted"));
  const PublishResult result = Publish(MakeBatch("after", 1));
  ASSERT_EQ(result.failures.size(), 1U);
  EXPECT_EQ(result.failures[0].error.code(), Errc::kUnavailable);
  EXPECT_EQ(result.failures[0].error.message(), "journal.db was deleted");
  ApplyAll();
  journal_.reset();  // which deletes what was released
  EXPECT_EQ(Count("SELECT count(*) FROM batch WHERE offset = 1"), 1);
}

// Files as a crash leaves them: a journal that is closed has no WAL.
void CopyJournal(const std::string& from, const std::string& to) {
  for (const char* suffix : {"", "-wal"}) std::filesystem::copy_file(from + suffix, to + suffix);
}

void Overwrite(const std::string& path, int64_t at, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(at);
  file << bytes;
  ASSERT_TRUE(file.flush());
}

TEST_F(JournalTest, NoticesThatTheLogOfAKilledProcessIsDamaged) {
  OpenAndStart();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(Publish(MakeBatch(name, 1)).all_durable());
  const int64_t end = journal_->End().next_offset;
  const std::string copy = directory_ + "/copy.db";
  CopyJournal(options_.path, copy);
  const WalFrames wal = ReadWalFrames(copy + "-wal");
  ASSERT_GE(wal.commits.size(), 3U);
  EXPECT_EQ(wal.frames, wal.commits.back());
  const int64_t damaged = wal.commits[wal.commits.size() - 2];
  Overwrite(copy + "-wal", 32 + damaged * (24 + 4096) - 1, "?");
  options_.path = copy;
  OpenAndStart();
  EXPECT_EQ(journal_->End().next_offset, end - 2);
  EXPECT_EQ(metrics_->GetCounter("journal_damage_total", "", {{"kind", "wal"}}).Value(), 1);
  OpenAndStart();
  EXPECT_EQ(metrics_->GetCounter("journal_damage_total", "", {{"kind", "wal"}}).Value(), 1);
}

TEST_F(JournalTest, SetsADamagedFileAsideAndBeginsAnew) {
  for (const int64_t at : {0, 4096, 2 * 4096}) {
    SCOPED_TRACE(at);
    OpenAndStart();
    EXPECT_TRUE(Publish(MakeIncompressibleBatch(64 << 10, 1)).all_durable());
    const std::string uuid = journal_->End().stream;
    journal_.reset();
    Overwrite(options_.path, at, std::string(2'000, '?'));
    OpenAndStart();
    EXPECT_NE(journal_->End().stream, uuid);
    EXPECT_TRUE(std::filesystem::exists(options_.path + ".damaged"));
    EXPECT_TRUE(Publish(MakeBatch("after", 1)).all_durable());
    EXPECT_THAT(ApplyAll(), ElementsAre("after_0{job=\"contract\"}"));
  }
  EXPECT_EQ(metrics_->GetCounter("journal_damage_total", "", {{"kind", "file"}}).Value(), 3);
}

TEST_F(JournalTest, EndsTheProcessOnceAfterDamagedRowsSoThatTheirSeriesCountAsNew) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("before", 1)).all_durable());
  const std::string uuid = journal_->End().stream;
  journal_.reset();
  for (int i = 0; i < 3; ++i) InsertRow(options_.path, "damaged");
  OpenBeside(options_.path).Exec("DELETE FROM batch WHERE offset = 3").value();
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("after", 1)).all_durable());
  while (!journal_->consumer().Poll(1, milliseconds(0)).value().poison.empty() || !fatal_) continue;
  EXPECT_THAT(fatal_->message(), HasSubstr("3 rows were damaged"));
  OpenAndStart();
  EXPECT_NE(journal_->End().stream, uuid);
  EXPECT_THAT(ApplyAll(), ElementsAre("after_0{job=\"contract\"}"));
}

TEST_F(JournalTest, HasANewIdentityAsSoonAsADamagedRowWasReadSoThatNoSnapshotCounts) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("before", 1)).all_durable());
  const std::string uuid = journal_->End().stream;
  journal_.reset();
  InsertRow(options_.path, "damaged");
  OpenAndStart();
  EXPECT_THAT(journal_->consumer().Poll(100, milliseconds(0)).value().poison, SizeIs(1));
  EXPECT_EQ(journal_->End().stream, uuid) << "the snapshot of a stop is bound to the old one";
  Open();
  EXPECT_NE(journal_->End().stream, uuid);
}

TEST_F(JournalTest, ReadsRowsAgainIfTheNewIdentityAfterDamageCannotBeWritten) {
  options_.lock_wait = milliseconds(1);
  Open();
  InsertRow(options_.path, "damaged");
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("after", 1)).all_durable());
  EXPECT_THAT(journal_->consumer().Poll(1, milliseconds(0)).value().poison, SizeIs(1));
  sqlite::Database other = OpenBeside(options_.path);
  ASSERT_TRUE(other.Exec("BEGIN IMMEDIATE"));
  EXPECT_FALSE(journal_->consumer().Poll(1, milliseconds(0)));
  ASSERT_TRUE(other.Exec("ROLLBACK"));
  EXPECT_THAT(ApplyAll(), ElementsAre("after_0{job=\"contract\"}"));
  EXPECT_TRUE(fatal_);
}

TEST_F(JournalTest, SetsAFileWithoutItsIdentityAsideWithoutTheLogOfAnEarlierOne) {
  Open();
  journal_.reset();
  ASSERT_TRUE(OpenBeside(options_.path).Exec("DELETE FROM meta WHERE key = 'uuid'"));
  std::ofstream(options_.path + ".damaged-wal") << "earlier";
  OpenAndStart();
  EXPECT_FALSE(journal_->End().stream.empty());
  EXPECT_TRUE(std::filesystem::exists(options_.path + ".damaged"));
  EXPECT_FALSE(std::filesystem::exists(options_.path + ".damaged-wal"));
}

TEST_F(JournalTest, BoundsTheDeadLettersByDroppingTheOldest) {
  options_.max_dead_letter_bytes = 1'000;
  OpenAndStart();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(journal_->consumer().DeadLetter({journal_->End(), std::string(100, 'x'), format("{}", i)}));
  }
  std::vector<std::pair<std::string, std::string>> letters = ReadDeadLetters(options_.path);
  EXPECT_LE(letters.size(), 10U);
  EXPECT_GE(letters.size(), 7U);
  EXPECT_EQ(letters.back().second, "19");
  ASSERT_TRUE(journal_->consumer().DeadLetter({journal_->End(), std::string(5'000, 'x'), "larger than the bound"}));
  letters = ReadDeadLetters(options_.path);
  EXPECT_EQ(letters.back().second, "larger than the bound");
  EXPECT_THAT(letters, SizeIs(1));
}

TEST_F(JournalTest, KeepsThreeQuartersOfASmallJournalForSeries) {
  options_.max_bytes = 1 << 20;
  OpenAndStart();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(journal_->consumer().DeadLetter({journal_->End(), std::string(50'000, 'x'), "poison"}));
  }
  EXPECT_LE(Count("SELECT sum(length(bytes)) FROM dead_letter"), 256 << 10);
  EXPECT_TRUE(Publish(MakeIncompressibleBatch(512 << 10, 1)).all_durable());
}

TEST_F(JournalTest, AcceptsDeadLettersWhenItIsFull) {
  options_.max_bytes = 256 << 10;
  OpenAndStart();
  while (Publish(MakeIncompressibleBatch(32 << 10, 1)).all_durable()) continue;
  EXPECT_TRUE(journal_->consumer().DeadLetter({journal_->End(), std::string(100'000, 'x'), "poison"}));
}

TEST_F(JournalTest, ReportsRowsThatWereDeletedBeforeAnOlderCatalogueAppliedThem) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("a", 1)).all_durable());
  ApplyAll();
  const std::vector<StreamPosition> backup = stored_.all();
  for (const char* name : {"b", "c"}) EXPECT_TRUE(Publish(MakeBatch(name, 1)).all_durable());
  ApplyAll();
  Await([&] { return Count("SELECT count(*) FROM batch") == 0; });
  EXPECT_TRUE(Publish(MakeBatch("d", 1)).all_durable());
  OpenAndStart();
  EXPECT_EQ(journal_->start().trimmed_unapplied, 0);
  stored_.Set(backup);
  OpenAndStart();
  EXPECT_EQ(journal_->start().trimmed_unapplied, 2);
  EXPECT_EQ(journal_->start().store_ahead, 0);
  EXPECT_THAT(ApplyAll(), ElementsAre("d_0{job=\"contract\"}"));
}

TEST_F(JournalTest, BringsAnOlderCatalogueUpToDateFromTheRowsItStillHas) {
  OpenAndStart();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(Publish(MakeBatch(name, 1)).all_durable());
  stored_.Store(journal_->consumer().Poll(1, kPatience).value());
  const std::vector<StreamPosition> backup = stored_.all();
  stored_.Store(journal_->consumer().Poll(100, kPatience).value());
  journal_->consumer().Release(backup);
  stored_.Set(backup);
  OpenAndStart();
  EXPECT_EQ(journal_->start().trimmed_unapplied, 0);
  EXPECT_THAT(ApplyAll(), ElementsAre("b_0{job=\"contract\"}", "c_0{job=\"contract\"}"));
}

TEST_F(JournalTest, TakesANewIdentityWhenItIsAnOlderCopyThanTheStore) {
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("kept", 1)).all_durable());
  journal_.reset();
  std::filesystem::copy_file(options_.path, options_.path + ".backup");
  OpenAndStart();
  for (const char* name : {"lost", "lost_too"}) EXPECT_TRUE(Publish(MakeBatch(name, 1)).all_durable());
  ApplyAll();
  const std::string uuid = journal_->End().stream;
  journal_.reset();
  std::filesystem::rename(options_.path + ".backup", options_.path);

  Open();
  EXPECT_TRUE(Publish(MakeBatch("before_start", 1)).all_durable());
  Start();
  EXPECT_EQ(journal_->start().store_ahead, 1);
  EXPECT_NE(journal_->End().stream, uuid);
  EXPECT_EQ(journal_->End().stream.size(), uuid.size());
  EXPECT_TRUE(Publish(MakeBatch("after", 1)).all_durable());
  EXPECT_THAT(ApplyAll(),
              ElementsAre("kept_0{job=\"contract\"}", "before_start_0{job=\"contract\"}", "after_0{job=\"contract\"}"));
  OpenAndStart();
  EXPECT_EQ(journal_->start().store_ahead, 0);
  EXPECT_EQ(journal_->start().trimmed_unapplied, 0);
  EXPECT_THAT(ApplyAll(), IsEmpty());
}

TEST_F(JournalTest, RefusesAFileOfANewerVersionAndSaysWhatToDo) {
  OpenAndStart();
  journal_.reset();
  ASSERT_TRUE(OpenBeside(options_.path).Exec("PRAGMA user_version=9"));
  const auto journal = Journal::Open(options_, deps_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code(), Errc::kInvalid);
  EXPECT_THAT(journal.error().message(), HasSubstr("journal schema 9, this one knows 1"));
}

TEST_F(JournalTest, RefusesTheRowsOfAnotherIdentitySecret) {
  options_.secret_check = model::SecretCheck("one");
  Open();
  Open();
  journal_.reset();
  options_.secret_check = model::SecretCheck("another");
  const auto journal = Journal::Open(options_, deps_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code(), Errc::kInvalid);
  EXPECT_THAT(journal.error().message(), HasSubstr("identity.secret"));
}

TEST_F(JournalTest, TellsANewCatalogueTheSecretOfItsRows) {
  EXPECT_EQ(ReadJournalSecret(options_.path).value(), std::nullopt);
  options_.secret_check = model::SecretCheck("");
  Open();
  EXPECT_EQ(ReadJournalSecret(options_.path).value(), "");
  journal_.reset();
  std::filesystem::remove(options_.path);
  options_.secret_check = model::SecretCheck("kept");
  options_.kept_secret = "kept";
  Open();
  EXPECT_EQ(ReadJournalSecret(options_.path).value(), "kept");
  journal_.reset();
  std::filesystem::remove(options_.path);
  options_.kept_secret = "";
  Open();
  EXPECT_EQ(ReadJournalSecret(options_.path).error().code(), Errc::kInvalid);
}

TEST_F(JournalTest, CountsSeriesBytesAndErrors) {
  options_.max_bytes = 256 << 10;
  OpenAndStart();
  EXPECT_TRUE(Publish(MakeBatch("a", 5)).all_durable());
  while (Publish(MakeIncompressibleBatch(32 << 10, 1)).all_durable()) continue;
  EXPECT_GE(metrics_->GetCounter("stream_published_total", "").Value(), 5);
  EXPECT_GE(metrics_->GetCounter("stream_publish_errors_total", "", {{"reason", "full"}}).Value(), 1);
  const double bytes = metrics_->GetGauge("journal_bytes", "").Value();
  EXPECT_GT(bytes, 100 << 10);
  EXPECT_LE(bytes, 256 << 10);
}

}  // namespace
}  // namespace mi::stream
