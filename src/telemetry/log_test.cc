#include "telemetry/log.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace mi::telemetry {
namespace {

namespace fs = std::filesystem;

const std::string kTime = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z";

class LogTest : public testing::Test {
 protected:
  LogTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("log_test_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~LogTest() override { fs::remove_all(folder_); }

  LogOptions ToFile(const std::string& name = "mi.log") const {
    LogOptions options;
    options.filename = (folder_ / name).string();
    return options;
  }

  static std::string Read(const fs::path& path) {
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  static std::vector<std::string> Lines(const fs::path& path) {
    std::vector<std::string> lines;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  fs::path folder_;
};

std::unique_ptr<Log> Open(const LogOptions& options) {
  auto log = Log::Create(options);
  EXPECT_TRUE(log.has_value()) << (log ? "" : log.error().message());
  return *std::move(log);
}

TEST_F(LogTest, TextLinesHaveTimeLevelAndMessage) {
  auto log = Open(ToFile());
  log->Warn("{} of {} hosts", 2, 3);
  EXPECT_THAT(Read(folder_ / "mi.log"), testing::MatchesRegex(kTime + " warn  2 of 3 hosts\n"));
}

TEST_F(LogTest, JsonLinesAreOneObjectEach) {
  auto options = ToFile();
  options.format = "json";
  auto log = Open(options);
  log->Error("a \"quoted\" \\ {}", "line\nand another");
  const std::string message = R"re(a \\"quoted\\" \\\\ line\\nand another)re";
  EXPECT_THAT(
      Read(folder_ / "mi.log"),
      testing::MatchesRegex("\\{\"time\":\"" + kTime + "\",\"level\":\"error\",\"msg\":\"" + message + "\"\\}\n"));
}

TEST_F(LogTest, OnlyJsonLinesNameTheApp) {
  auto options = ToFile();
  options.format = "json";
  options.app = "the \"first\"";
  auto log = Open(options);
  log->Error("x");
  EXPECT_THAT(Read(folder_ / "mi.log"), testing::HasSubstr(R"("level":"error","app":"the \"first\"","msg":"x"})"));
  options.format = "text";
  ASSERT_TRUE(log->Reconfigure(options));
  log->Error("y");
  EXPECT_THAT(Lines(folder_ / "mi.log").back(), testing::EndsWith("Z error y"));
}

TEST_F(LogTest, NoMessageBreaksItsLineOrTheTerminal) {
  auto options = ToFile();
  auto log = Open(options);
  log->Error("two\nlines \x1b[31mred \xff");
  EXPECT_THAT(Lines(folder_ / "mi.log").back(), testing::EndsWith(R"( error two\nlines \x1b[31mred \xff)"));
  options.format = "json";
  ASSERT_TRUE(log->Reconfigure(options));
  log->Error("two\nlines \x1b[31mred \xff \xc2\x9b");
  EXPECT_THAT(Lines(folder_ / "mi.log").back(), testing::EndsWith(R"("msg":"two\nlines \u001b[31mred )"
                                                                  "\xef\xbf\xbd"
                                                                  R"( \u009b"})"));
}

TEST_F(LogTest, WritesNothingBelowItsLevel) {
  auto options = ToFile();
  options.level = "warn";
  auto log = Open(options);
  log->Debug("no");
  log->Info("no");
  log->Warn("yes");
  log->Error("yes");
  EXPECT_EQ(Lines(folder_ / "mi.log").size(), 2U);
  EXPECT_FALSE(log->Enabled(Level::kInfo));
  EXPECT_TRUE(log->Enabled(Level::kWarn));
}

TEST_F(LogTest, RefusesUnknownOptionsAndAFileThatItCannotOpen) {
  auto f = [](const LogOptions& options, Errc code, std::string_view part) {
    const auto log = Log::Create(options);
    ASSERT_FALSE(log.has_value());
    EXPECT_EQ(log.error().code(), code);
    EXPECT_THAT(log.error().message(), testing::HasSubstr(part));
  };
  LogOptions level;
  level.level = "loud";
  f(level, Errc::kInvalid, "log.level is 'loud'");
  LogOptions format;
  format.format = "xml";
  f(format, Errc::kInvalid, "log.format is 'xml'");
  std::ofstream(folder_ / "file") << "in the way";
  f(ToFile("file/mi.log"), Errc::kUnavailable, "log.filename");
}

TEST_F(LogTest, AFailedReconfigurationChangesNothing) {
  auto log = Open(ToFile());
  std::ofstream(folder_ / "file") << "in the way";
  auto bad = ToFile("file/mi.log");
  bad.level = "error";
  EXPECT_FALSE(log->Reconfigure(bad).has_value());
  log->Info("still here");
  EXPECT_EQ(Lines(folder_ / "mi.log").size(), 1U);
}

TEST_F(LogTest, WritesALineBeforeTheProcessEnds) {
  const auto log_and_exit = [this] {
    Open(ToFile())->Error("the last line");
    _exit(1);
  };
  EXPECT_EXIT(log_and_exit(), testing::ExitedWithCode(1), "");
  EXPECT_THAT(Lines(folder_ / "mi.log"), testing::ElementsAre(testing::EndsWith("the last line")));
}

TEST_F(LogTest, LosesNoLineWhileItIsReconfigured) {
  auto log = Open(ToFile("a.log"));
  constexpr int kThreads = 3;
  constexpr int kLines = 300;
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&] {
      for (int i = 0; i < kLines; ++i) log->Info("line {}", i);
    });
  }
  for (int i = 0; i < 60; ++i) {
    auto options = ToFile(i % 2 == 0 ? "b.log" : "a.log");
    options.format = i % 3 == 0 ? "json" : "text";
    EXPECT_TRUE(log->Reconfigure(options).has_value());
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(Lines(folder_ / "a.log").size() + Lines(folder_ / "b.log").size(), size_t{kThreads} * kLines);
}

TEST_F(LogTest, LinesThatAFullDiskRefusesGoToStderrAndAreCounted) {
  fs::create_symlink("/dev/full", folder_ / "mi.log");
  auto log = Open(ToFile());
  testing::internal::CaptureStderr();
  log->Info("one");
  log->Info("two");
  const std::string on_stderr = testing::internal::GetCapturedStderr();
  EXPECT_THAT(on_stderr, testing::HasSubstr("one"));
  EXPECT_THAT(on_stderr, testing::HasSubstr("two"));
  fs::remove(folder_ / "mi.log");  // room again
  log->Info("three");
  const auto lines = Lines(folder_ / "mi.log");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], testing::HasSubstr("three"));
  EXPECT_THAT(lines[1], testing::HasSubstr("2 log lines went to stderr instead"));
  EXPECT_THAT(lines[1], testing::HasSubstr("No space left on device"));
}

TEST_F(LogTest, ADirectoryThatWasRemovedIsCreatedAgain) {
  auto log = Open(ToFile("logs/mi.log"));
  log->Info("before");
  fs::remove_all(folder_ / "logs");
  log->Info("after");
  EXPECT_EQ(Lines(folder_ / "logs/mi.log").size(), 1U);
}

TEST_F(LogTest, AFileThatAnotherProcessMovedIsCreatedAgain) {
  auto log = Open(ToFile());
  log->Info("before");
  fs::rename(folder_ / "mi.log", folder_ / "mi.log.1");
  log->Info("after");
  EXPECT_EQ(Lines(folder_ / "mi.log").size(), 1U);
}

TEST_F(LogTest, WritesToStderrWithoutAFileAndInAdditionIfAsked) {
  auto options = ToFile();
  options.also_stderr = true;
  auto log = Open(options);
  testing::internal::CaptureStderr();
  log->Info("both");
  EXPECT_TRUE(log->Reconfigure(LogOptions{}).has_value());
  log->Info("console");
  const std::string on_stderr = testing::internal::GetCapturedStderr();
  EXPECT_THAT(on_stderr, testing::HasSubstr("both"));
  EXPECT_THAT(on_stderr, testing::HasSubstr("console"));
  EXPECT_EQ(Lines(folder_ / "mi.log").size(), 1U);
}

TEST(NullLogger, WritesNothing) {
  auto log = Logger::Null();
  testing::internal::CaptureStderr();
  log->Error("discarded");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace mi::telemetry
