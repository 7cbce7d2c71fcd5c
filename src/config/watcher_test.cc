#include "config/watcher.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "base/bounded_queue.h"
#include "base/live.h"
#include "config/testing/test_folder.h"

namespace mi::config {
namespace {

namespace fs = std::filesystem;

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::chrono::milliseconds kPollInterval{20};

// Collects what a watcher reports, so that tests can wait for it. The deadline only ends a test that has failed.
class WatcherTest : public TestFolder {
 protected:
  void Start(const std::string& file, Sources sources = {}) {
    if (!file.empty()) sources.file = file;
    auto loaded = Load(sources);
    ASSERT_TRUE(loaded) << loaded.error().message();
    watcher_ = std::make_unique<Watcher>(
        std::move(*loaded), std::move(sources),
        Watcher::Callbacks{.on_change =
                               [this](const auto& config) {
                                 if (Status outcome = *outcome_.Get(); !outcome) return outcome;
                                 changes_.TryPush(std::shared_ptr(config));
                                 return Status();
                               },
                           .on_report = [this](const ReloadReport& report) { reports_.TryPush(ReloadReport(report)); }},
        kPollInterval);
  }

  ReloadReport NextReport() {
    auto report = reports_.PopUntil(std::chrono::steady_clock::now() + std::chrono::seconds(60));
    EXPECT_TRUE(report.has_value()) << "no report came";
    return report ? std::move(*report) : ReloadReport{.status = Fail(Errc::kInternal, "none")};
  }

  // In one step, so that the watcher never meets it half done.
  void Replace(const std::string& name, std::string_view text) const {
    Write(name + ".new", text);
    Rename(name + ".new", name);
  }

  // The report after which `level` is in effect.
  void AwaitLevel(const std::string& level) {
    const auto report = NextReport();
    EXPECT_TRUE(report.status.has_value()) << report.Describe();
    EXPECT_THAT(report.changed, ElementsAre("log.level")) << report.Describe();
    EXPECT_EQ(watcher_->Current()->log.level, level);
  }

  static std::string Level(std::string_view level) { return "log: {level: " + std::string(level) + "}\n"; }

  void Rename(const std::string& from, const std::string& to) const { fs::rename(Path(from), Path(to)); }

  Live<Status> outcome_{Status()};  // of taking a change
  BoundedQueue<std::shared_ptr<const Config>> changes_{1000};
  BoundedQueue<ReloadReport> reports_{1000};
  std::unique_ptr<Watcher> watcher_;
};

TEST_F(WatcherTest, TakesAFileThatIsWrittenInPlace) {
  Start(Write("a.yml", Level("warn")));
  Write("a.yml", Level("debug"));
  // A machine that stalls between the two halves of writing may show the empty file first; that changes nothing.
  while (watcher_->Current()->log.level == "warn") NextReport();
  EXPECT_EQ(watcher_->Current()->log.level, "debug");
  EXPECT_EQ(changes_.Pop(), watcher_->Current());
}

TEST_F(WatcherTest, TakesAFileThatIsReplacedByRename) {
  Start(Write("a.yml", Level("warn")));
  Write(".a.yml.swp", Level("debug"));
  Rename(".a.yml.swp", "a.yml");
  AwaitLevel("debug");
}

TEST_F(WatcherTest, TakesAConfigMapThatSwapsItsLink) {
  Write("..2024_1/a.yml", Level("warn"));
  fs::create_directory_symlink("..2024_1", Path("..data"));
  fs::create_symlink("..data/a.yml", Path("a.yml"));
  Start(Path("a.yml"));
  Write("..2024_2/a.yml", Level("debug"));
  fs::create_directory_symlink("..2024_2", Path("..data_tmp"));
  Rename("..data_tmp", "..data");
  AwaitLevel("debug");
  fs::remove_all(Path("..2024_1"));
  Replace("..2024_2/a.yml", Level("error"));
  AwaitLevel("error");
}

TEST_F(WatcherTest, TakesTheTargetOfALinkIntoAnotherDirectory) {
  Write("elsewhere/a.yml", Level("warn"));
  fs::create_symlink("elsewhere/a.yml", Path("a.yml"));
  Start(Path("a.yml"));
  Replace("elsewhere/a.yml", Level("debug"));
  AwaitLevel("debug");
}

TEST_F(WatcherTest, ABrokenFileChangesNothingAndIsReportedWithItsLine) {
  Start(Write("a.yml", Level("warn")));
  const auto before = watcher_->Current();
  Replace("a.yml", "log:\n  level: loud\n");
  const auto report = NextReport();
  EXPECT_THAT(report.Describe(),
              HasSubstr("not reloaded, the running one stays: " + Path("a.yml") + ":2: log.level wants"));
  EXPECT_EQ(watcher_->Current(), before);
  Replace("a.yml", Level("debug"));
  AwaitLevel("debug");
}

TEST_F(WatcherTest, AFailedChangeKeepsTheOldConfigAndIsTriedAgain) {
  Start(Write("a.yml", Level("warn")));
  const auto before = watcher_->Current();
  outcome_.Set(Fail(Errc::kUnavailable, "no such folder"));
  Replace("a.yml", Level("debug"));
  const auto report = NextReport();
  EXPECT_EQ(report.Describe(), "configuration not reloaded, the running one stays: no such folder");
  EXPECT_THAT(report.changed, IsEmpty());
  EXPECT_EQ(watcher_->Current(), before);
  watcher_->Reload();
  EXPECT_FALSE(NextReport().status) << "a file that stays as it is does not become current";
  outcome_.Set({});
  watcher_->Reload();
  AwaitLevel("debug");
  EXPECT_EQ(changes_.Pop(), watcher_->Current());
}

TEST_F(WatcherTest, AFailedChangeIsTriedAgainWhenTheFileIsTouched) {
  Start(Write("a.yml", Level("warn")));
  outcome_.Set(Fail(Errc::kUnavailable, "no such folder"));
  Replace("a.yml", Level("debug"));
  EXPECT_FALSE(NextReport().status);
  outcome_.Set({});
  Replace("a.yml", Level("debug"));
  AwaitLevel("debug");
}

TEST_F(WatcherTest, AFileThatIsHalfWrittenChangesNothing) {
  Start(Write("a.yml", Level("warn")));
  auto f = [&](std::string_view half, std::string_view part) {
    Replace("a.yml", half);
    EXPECT_THAT(NextReport().Describe(), HasSubstr(part)) << half;
    EXPECT_EQ(watcher_->Current()->log.level, "warn");
  };
  f("", "holds no keys");
  f("# only a comment\n", "holds no keys");
  f("log: {level: deb", "not YAML");
  f("log: {level: debug}\nmysql: {user: \"ro", "not YAML");
  f("log:\n  level: debug\n  filename: \"logs/me\n", "a quote is never closed");
}

TEST_F(WatcherTest, ADeletedFileChangesNothingAndIsFoundAgain) {
  Start(Write("a.yml", Level("warn")));
  fs::remove(Path("a.yml"));
  EXPECT_THAT(NextReport().Describe(), HasSubstr("cannot be read: No such file or directory"));
  EXPECT_EQ(watcher_->Current()->log.level, "warn");
  Replace("a.yml", Level("debug"));
  AwaitLevel("debug");
}

TEST_F(WatcherTest, AFileInADirectoryThatIsReplacedIsFoundAgain) {
  Start(Write("conf/a.yml", Level("warn")));
  fs::remove_all(Path("conf"));
  EXPECT_FALSE(NextReport().status.has_value());
  Replace("conf/a.yml", Level("debug"));
  AwaitLevel("debug");
  Replace("conf/a.yml", Level("error"));
  AwaitLevel("error");
}

TEST_F(WatcherTest, ARemovedKeyGoesBackToItsDefault) {
  Start(Write("a.yml", "log: {level: warn, max_age: 1}\n"));
  Replace("a.yml", "log: {max_age: 1}\n");
  AwaitLevel("info");
}

TEST_F(WatcherTest, EnvironmentAndCommandLineStillWinOverTheFile) {
  Start(Write("a.yml", Level("warn")),
        {.environment = {{"METRIC_INDEX_LOG_LEVEL", "error"}}, .command_line = {{"log.max_age", "3"}}});
  Replace("a.yml", "log: {level: debug, max_age: 9, max_backups: 1}\n");
  EXPECT_THAT(NextReport().changed, ElementsAre("log.max_backups"));
  EXPECT_EQ(watcher_->Current()->log.level, "error");
  EXPECT_EQ(watcher_->Current()->log.max_age_days, 3U);
}

TEST_F(WatcherTest, OptionsThatNeedARestartAreNamedAndKept) {
  Start(Write("a.yml", "app: {port: 1}\nlog: {level: warn}\n"));
  Replace("a.yml", "app: {port: 2}\nmysql: {password: new}\nlog: {level: debug}\n");
  auto report = NextReport();
  EXPECT_THAT(report.changed, ElementsAre("log.level"));
  EXPECT_THAT(report.restart_needed, ElementsAre("app.port", "mysql.password"));
  EXPECT_EQ(report.Describe(), "configuration reloaded: log.level; restart needed for: app.port, mysql.password");
  EXPECT_EQ(watcher_->Current()->server.port, 1U);
  EXPECT_EQ(watcher_->Current()->log.level, "debug");
  Replace("a.yml", "app: {port: 1}\nlog: {level: debug}\n");
  report = NextReport();
  EXPECT_THAT(report.restart_needed, IsEmpty());
  EXPECT_EQ(report.Describe(), "configuration reloaded: nothing changed");
}

TEST_F(WatcherTest, RefusesLiveOptionsThatConflictWithRestartOptions) {
  Start(Write("a.yml", "catalog: {activity_interval: 3600}\n"));
  Replace("a.yml", "catalog: {activity_interval: 60}\nmetric_store: {cache: {idle_expire: 120}}\n");
  EXPECT_THAT(NextReport().Describe(), HasSubstr("with what needs a restart as it was at the start"));
  EXPECT_EQ(*watcher_->Current(), Config());
}

TEST_F(WatcherTest, ReloadReadsAgainWhenAsked) {
  Start(Write("a.yml", Level("warn")));
  watcher_->Reload();
  const auto report = NextReport();
  EXPECT_EQ(report.Describe(), "configuration reloaded: nothing changed");
}

TEST_F(WatcherTest, WithoutAFileThereIsNothingToReload) {
  Start("");
  watcher_->Reload();
  EXPECT_THAT(NextReport().Describe(), HasSubstr("there is no configuration file"));
}

TEST_F(WatcherTest, TakesAChangeBetweenTheStartAndTheFirstLook) {
  const auto file = Write("a.yml", Level("warn"));
  const Sources sources = {.file = file};
  auto loaded = Load(sources);
  ASSERT_TRUE(loaded);
  Replace("a.yml", Level("debug"));
  const Watcher watcher(
      std::move(*loaded), sources,
      {.on_change = {}, .on_report = [this](const ReloadReport& report) { reports_.TryPush(ReloadReport(report)); }},
      kPollInterval);
  EXPECT_THAT(NextReport().changed, ElementsAre("log.level"));
}

TEST_F(WatcherTest, CallbacksMayAskTheWatcher) {
  const auto file = Write("a.yml", Level("warn"));
  const Sources sources = {.file = file};
  std::atomic<Watcher*> self = nullptr;
  std::atomic<int> asked = 0;
  Watcher watcher(*Load(sources), sources,
                  {.on_change = {},
                   .on_report =
                       [&](const ReloadReport& report) {
                         if (asked.fetch_add(1) == 0) self.load()->Reload();
                         reports_.TryPush(ReloadReport(report));
                       }},
                  kPollInterval);
  self = &watcher;
  watcher.Reload();
  NextReport();
  NextReport();  // the one that the callback asked for
  EXPECT_EQ(watcher.Current()->log.level, "warn");
}

TEST_F(WatcherTest, ReadersSeeWholeConfigurationsWhileItReloads) {
  auto text = [](int i) {
    return "log: {max_age: " + std::to_string(i) + ", max_backups: " + std::to_string(i) + "}\n";
  };
  Start(Write("a.yml", text(1)));
  std::atomic<bool> done = false;
  std::atomic<int> mixed = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      while (!done) {
        const auto config = watcher_->Current();
        if (config->log.max_age_days != config->log.max_backups) ++mixed;
        std::this_thread::yield();
      }
    });
  }
  for (int i = 2; i < 8; ++i) {
    Write("next", text(i));
    Rename("next", "a.yml");
    watcher_->Reload();
    while (watcher_->Current()->log.max_age_days != static_cast<uint64_t>(i)) NextReport();
  }
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(mixed, 0);
}

TEST_F(WatcherTest, CanBeDestroyedWhileItIsBusy) {
  Start(Write("a.yml", Level("warn")));
  for (int i = 0; i < 5; ++i) {
    Replace("a.yml", Level(i % 2 == 0 ? "debug" : "error"));
    watcher_->Reload();
  }
  watcher_.reset();  // must neither hang nor call back afterwards
  changes_.Close();
  reports_.Close();
}

}  // namespace
}  // namespace mi::config
