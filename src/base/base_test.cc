#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <new>
#include <thread>
#include <unordered_set>

#include "base/ascii.h"
#include "base/available_memory.h"
#include "base/backoff.h"
#include "base/bounded_queue.h"
#include "base/clock.h"
#include "base/deadline_timer.h"
#include "base/fatal.h"
#include "base/file_descriptor.h"
#include "base/format.h"
#include "base/json.h"
#include "base/live.h"
#include "base/periodic.h"
#include "base/quote.h"
#include "base/restart.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "base/time_text.h"
#include "base/utf8.h"

namespace mi {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(AvailableMemory, IsTheLeastLimitOnThePathOfTheGroup) {
  char directory[] = "/tmp/mi-available-memory-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string root = directory;
  const auto write = [&](const std::string& path, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  };
  const uint64_t machine = AvailableMemory(root);
  EXPECT_GT(machine, 64 << 20);
  write("/proc/self/cgroup", "0::/a/b\n");
  EXPECT_EQ(AvailableMemory(root), machine);
  write("/sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(AvailableMemory(root), machine);
  write("/sys/fs/cgroup/a/memory.max", "50000000\n");
  EXPECT_EQ(AvailableMemory(root), 50'000'000);
  write("/sys/fs/cgroup/memory.max", "40000000\n");  // where a container sees its own
  EXPECT_EQ(AvailableMemory(root), 40'000'000);
  write("/proc/self/cgroup", "5:cpu:/\n4:memory:/c\n0::/\n");
  write("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "30000000\n");
  EXPECT_EQ(AvailableMemory(root), 30'000'000);
  std::filesystem::remove_all(root);
}

TEST(Try, YieldsTheValueOrReturnsTheError) {
  const auto half = [](int value) -> Result<int> {
    if (value % 2 != 0) return Fail(Errc::kInvalid, "odd");
    return value / 2;
  };
  const auto quarter = [&](int value) -> Result<int> { return TRY(half(TRY_WITHIN(half(value), "first"))); };
  const auto check = [&](int value) -> Status {
    TRY(quarter(value));
    return {};
  };
  EXPECT_EQ(quarter(12), 3);
  EXPECT_EQ(quarter(3).error().message(), "first: odd");
  EXPECT_EQ(quarter(2).error().message(), "odd");
  EXPECT_TRUE(check(4));
  EXPECT_EQ(check(2).error(), Error(Errc::kInvalid, "odd"));
}

TEST(Try, MovesValuesThatCannotBeCopied) {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  const auto use = [&]() -> Result<int> {
    const std::unique_ptr<int> made = TRY(make());
    return *made;
  };
  EXPECT_EQ(use(), 7);
}

// Calls the handler itself: the sanitizers' operator new does not.
TEST(OutOfMemoryDeathTest, EndsTheProcessWithOneLine) {
  const auto exhaust = [] {
    InstallOutOfMemoryHandler();
    std::get_new_handler()();
  };
  EXPECT_DEATH(exhaust(), "^metric-index: out of memory; the process ends and must be restarted\n");
}

TEST(FileDescriptor, ClosesWhatItOwnsOnce) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor read(ends[0]);
  {
    FileDescriptor first(ends[1]);
    FileDescriptor second(std::move(first));
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(second.get(), ends[1]);
    EXPECT_NE(::fcntl(ends[1], F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(ends[1], F_GETFD), -1);
}

TEST(StopSignal, EndsASleep) {
  StopSignal stop;
  EXPECT_TRUE(stop.WaitFor(milliseconds(0)));
  std::thread other([&] { stop.Request(); });
  EXPECT_FALSE(stop.WaitFor(std::chrono::hours(1)));
  other.join();
  EXPECT_TRUE(stop.requested());
}

TEST(WaitReady, TellsReadinessTimeOutAndStopApart) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor read(ends[0]);
  FileDescriptor write(ends[1]);
  StopSignal stop;
  const auto in_an_hour = steady_clock::now() + std::chrono::hours(1);
  EXPECT_EQ(WaitReady(read.get(), POLLIN, steady_clock::now(), stop), std::unexpected(WaitEnd::kTimedOut));
  EXPECT_EQ(::write(write.get(), "x", 1), 1);
  EXPECT_EQ(WaitReady(read.get(), POLLIN, in_an_hour, stop), short{POLLIN});
  std::thread other([&] { stop.Request(); });
  char byte = 0;
  EXPECT_EQ(::read(read.get(), &byte, 1), 1);
  EXPECT_EQ(WaitReady(read.get(), POLLIN, in_an_hour, stop), std::unexpected(WaitEnd::kStopped));
  other.join();
}

TEST(Backoff, DoublesUpToItsLimitAndJittersHalf) {
  Backoff backoff(milliseconds(100), milliseconds(350));
  for (const int step : {100, 200, 350, 350}) {
    const auto pause = backoff.Next().count();
    EXPECT_GE(pause, step / 2);
    EXPECT_LE(pause, step);
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), milliseconds(100));
}

TEST(Periodic, RunsAtItsIntervalAndWhenAsked) {
  BoundedQueue<int> runs(100);
  {
    Periodic quick(milliseconds(1), [&] { (void)runs.TryPush(1); });
    EXPECT_EQ(runs.Pop(), 1);
    EXPECT_EQ(runs.Pop(), 1);
  }
  while (runs.size() > 0) (void)runs.Pop();
  Periodic slow(std::chrono::hours(1), [&] { (void)runs.TryPush(2); });
  slow.RunSoon();
  EXPECT_EQ(runs.Pop(), 2);
  slow.Stop();
  slow.Stop();
  EXPECT_EQ(runs.size(), 0U);
}

TEST(DeadlineTimer, CallsInTheOrderOfTheDeadlines) {
  BoundedQueue<int> called(4);
  DeadlineTimer timer;  // after the queue, which its callbacks use
  const auto now = steady_clock::now();
  timer.At(now + milliseconds(20), [&] { (void)called.TryPush(2); });
  timer.At(now + milliseconds(10), [&] { (void)called.TryPush(1); });
  EXPECT_EQ(called.Pop(), 1);
  EXPECT_EQ(called.Pop(), 2);
}

TEST(DeadlineTimer, CancelsWhatHasNotBegun) {
  BoundedQueue<int> called(4);
  DeadlineTimer timer;
  const auto never = timer.After(std::chrono::hours(1), [&] { (void)called.TryPush(1); });
  EXPECT_TRUE(timer.Cancel(never));
  EXPECT_FALSE(timer.Cancel(never));
  timer.After(std::chrono::hours(1), [&] { (void)called.TryPush(2); });
  timer.FireAll();
  EXPECT_EQ(called.size(), 1U);
  EXPECT_EQ(called.Pop(), 2);
}

TEST(Ascii, KnowsCaseDigitsAndSpace) {
  EXPECT_EQ(ToLower("Content-TYPE É"), "content-type É");
  EXPECT_TRUE(EqualsIgnoringCase("SnApPy", "snappy"));
  EXPECT_FALSE(EqualsIgnoringCase("snappy", "snapp"));
  EXPECT_EQ(TrimSpace(" \t a b\r\n"), "a b");
  EXPECT_EQ(TrimSpace("  "), "");
  EXPECT_TRUE(IsAlnum('7') && IsAlnum('z') && !IsAlnum('_'));
}

TEST(TimeText, ReadsAndWritesRfc3339) {
  auto f = [](std::string_view text, std::optional<int64_t> ms) { EXPECT_EQ(ParseRfc3339(text), ms) << text; };
  f("1970-01-01T00:00:00Z", 0);
  f("2026-11-22T18:00:00.1239Z", 1'795'370'400'123);
  f("2026-11-22T20:00:00.123+02:00", 1'795'370'400'123);
  f("2026-02-30T00:00:00Z", std::nullopt);
  f("2026-11-22T18:00:00", std::nullopt);
  EXPECT_EQ(FormatRfc3339(1'795'370'400'123), "2026-11-22T18:00:00.123Z");
  EXPECT_EQ(FormatRfc3339(-1), "1969-12-31T23:59:59.999Z");
}

TEST(TimeText, ReadsAndWritesHttpDates) {
  EXPECT_EQ(FormatHttpDate(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT"), 784'111'777);
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT "), std::nullopt);
}

TEST(Quote, MakesTextFromOutsideSafeToShow) {
  EXPECT_EQ(Quoted("a\x1b[2J\xff平"), "'a?[2J?平'");
  EXPECT_EQ(Quoted(std::string(81, 'x')), "'" + std::string(80, 'x') + "…'");
  EXPECT_EQ(Printable("a\nb\t\x1b\xff\xc2\x9b"), "a\\nb\\t\\x1b\\xff\\xc2\\x9b");
  EXPECT_EQ(GoQuoted("a\"b\n\x01平", 5), R"("a\"b\n\x01")");
  EXPECT_EQ(GoQuotedCharacter("'x"), R"('\'')");
  EXPECT_EQ(GoQuotedCharacter(""), "'\xef\xbf\xbd'");
}

TEST(ShownUrl, HidesWhatMayBeAPassword) {
  auto f = [](std::string_view url, std::string_view shown) { EXPECT_EQ(ShownUrl(url), shown); };
  f("http://host:80/path", "http://host:80/path");
  f("http://user:secret@host/path?token=1", "http://***@host/path?***");
  f("http://user:se/cr@et@host/path", "http://***@host/path");
}

TEST(Error, SaysWhatWasBeingDoneInFront) {
  EXPECT_EQ(Error(Errc::kUnavailable, "disk full").Within("append"), Error(Errc::kUnavailable, "append: disk full"));
}

TEST(FormatBytes, TellsWhatIsAboveALimitFromIt) {
  EXPECT_EQ(FormatBytesAbove(41 << 20, 32 << 20), "41 MiB");
  EXPECT_EQ(FormatBytesAbove((1 << 20) + 1, 1 << 20), "1048577 B");
}

TEST(Restart, KeepsMemoryThatIsUsedAndForgetsWhatWasNeededOnce) {
  std::vector<uint64_t> array(2 * kHugeBytes / sizeof(uint64_t));
  Restart(array);  // all of it was in use
  EXPECT_TRUE(array.empty());
  EXPECT_GT(array.capacity() * sizeof(uint64_t), kHugeBytes);
  array.resize(10);
  Restart(array);
  EXPECT_EQ(array.capacity(), 0U);
  array.resize(1000);
  array.resize(1);
  Restart(array);
  EXPECT_EQ(array.capacity(), 1000U);
  std::string text(2 * kHugeBytes, 'x');
  text.resize(1);
  Restart(text);
  EXPECT_LT(text.capacity(), 100U);
}

TEST(Restart, ForgetsATableThatIsDearToClear) {
  std::unordered_set<uint64_t> table(1000);
  const size_t few = table.bucket_count();
  table.insert(7);
  Restart(table);
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.bucket_count(), few);
  table.rehash(2 * kHugeBuckets);
  Restart(table);
  EXPECT_LT(table.bucket_count(), few);
}

TEST(Utf8, IsCheckedToTheLetterOfTheStandard) {
  auto valid = [](std::string_view text) { EXPECT_TRUE(IsValidUtf8(text)) << text; };
  auto invalid = [](std::string_view text) { EXPECT_FALSE(IsValidUtf8(text)); };
  valid("");
  valid("ascii");
  valid("平台 \xf0\x9f\x98\x80");
  invalid("\x80");
  invalid("\xc0\x80");          // overlong
  invalid("\xe0\x80\x80");      // overlong
  invalid("\xed\xa0\x80");      // surrogate
  invalid("\xf4\x90\x80\x80");  // above U+10FFFF
  invalid("\xf8\x88\x80\x80\x80");
  invalid("\xe5\xb9");  // cut
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = '\x80';
      invalid(text);
      if (at + 1 == size) continue;
      text[at] = '\xc2';
      text[at + 1] = '\x80';
      valid(text);
    }
  }
}

TEST(Utf8, IsReadACharacterAtATime) {
  auto f = [](std::string_view text, size_t size, char32_t code, bool valid) {
    const Utf8Character first = FirstUtf8(text);
    EXPECT_EQ(first.size, size) << text;
    EXPECT_EQ(first.valid, valid) << text;
    if (valid) {
      EXPECT_EQ(first.code, code) << text;
    }
  };
  f("a", 1, U'a', true);
  f(std::string_view("\0x", 2), 1, 0, true);
  f("\xc3\xa9x", 2, U'\u00e9', true);
  f("平台", 3, U'平', true);
  f("\xf4\x8f\xbf\xbf", 4, 0x10FFFF, true);
  f("\xc3", 1, 0, false);
  f("\xffx", 1, 0, false);
}

TEST(FormatBytes, SpeaksAsPeopleDo) {
  auto f = [](uint64_t bytes, std::string_view want) { EXPECT_EQ(FormatBytes(bytes), want); };
  f(0, "0 B");
  f(1023, "1023 B");
  f(1536, "1.5 KiB");
  f(uint64_t{41} << 20, "41 MiB");
  f(uint64_t{4} << 30, "4 GiB");
}

TEST(BoundedQueue, RefusesWhatDoesNotFitAndLeavesItWithTheCaller) {
  BoundedQueue<std::string> queue(1);
  std::string second = "second";
  EXPECT_TRUE(queue.TryPush("first"));
  EXPECT_FALSE(queue.TryPush(std::move(second)));
  EXPECT_EQ(second, "second");
}

TEST(BoundedQueue, HandsOutWhatIsInsideAfterItIsClosedAndThenNothing) {
  BoundedQueue<int> queue(4);
  EXPECT_TRUE(queue.TryPush(1));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueue, WakesAWaiterWhenAnItemArrives) {
  BoundedQueue<int> queue(4);
  std::thread producer([&] { EXPECT_TRUE(queue.TryPush(7)); });
  EXPECT_EQ(queue.Pop(), 7);
  producer.join();
}

TEST(BoundedQueue, GivesUpAtTheDeadline) {
  BoundedQueue<int> queue(4);
  EXPECT_EQ(queue.PopUntil(std::chrono::steady_clock::now()), std::nullopt);
}

TEST(Json, EscapesWhatAStringMayNotHold) {
  auto f = [](std::string_view text, std::string_view want) {
    std::string out;
    AppendJsonString(text, out);
    EXPECT_EQ(out, want);
  };
  f("", R"("")");
  f("plain 平台", R"("plain 平台")");
  f("a\"b\\c\nd", R"("a\"b\\c\nd")");
  f(std::string_view("\0\x1f\x7f", 3), "\"\\u0000\\u001f\x7f\"");
  f("a\xff平\xe5", "\"a\uFFFD平\uFFFD\"");
  std::string safe;
  AppendJsonString("\x7f\xc2\x9b\n", safe, JsonEscapes::kTerminalSafe);
  EXPECT_EQ(safe, R"("\u007f\u009b\n")");
}

TEST(Live, LetsAReaderKeepWhatItGot) {
  Live<int> live(1);
  const auto before = live.Get();
  live.Set(2);
  EXPECT_EQ(*before, 1);
  EXPECT_EQ(*live.Get(), 2);
}

TEST(ManualClock, MovesOnlyWhenItIsTold) {
  ManualClock clock(5'000);
  EXPECT_EQ(clock.NowSeconds(), 5);
  clock.Advance(std::chrono::seconds(2));
  EXPECT_EQ(clock.NowMs(), 7'000);
}

}  // namespace
}  // namespace mi
