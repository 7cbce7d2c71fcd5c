#include <thread>
#include <unordered_set>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "base/live.h"
#include "base/restart.h"
#include "base/result.h"
#include "base/utf8.h"

namespace mi {
namespace {

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
