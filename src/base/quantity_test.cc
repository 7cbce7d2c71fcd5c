#include "base/quantity.h"

#include <limits>

namespace mi {
namespace {

constexpr auto kNone = std::nullopt;

TEST(Quantity, BytesAreWhatPeopleWrite) {
  auto f = [](std::string_view text, std::optional<uint64_t> want) { EXPECT_EQ(ParseBytes(text), want) << text; };
  f("0", 0);
  f("4096", 4096);
  f("4096B", 4096);
  f("32MiB", uint64_t{32} << 20);
  f("32 MiB", uint64_t{32} << 20);
  f("1.5KiB", 1536);
  f("18446744073709551615", std::numeric_limits<uint64_t>::max());
  f("18446744073709551616", kNone);
  f("99999999TiB", kNone);
  f("32MB", kNone);
  f("32mib", kNone);
  f("0.3B", kNone);
  f("-1", kNone);
  f("1e3", kNone);
  f("", kNone);
  f("MiB", kNone);
  f("1MiB1", kNone);
  f("inf", kNone);
}

TEST(Quantity, DurationsAreSecondsOrCarryUnits) {
  auto f = [](std::string_view text, std::optional<uint64_t> want) { EXPECT_EQ(ParseDuration(text), want) << text; };
  f("20", 20'000);
  f("0.5", 500);
  f("0", 0);
  f("1500ms", 1500);
  f("20s", 20'000);
  f("5m", 300'000);
  f("1h30m", 5'400'000);
  f("1d", 86'400'000);
  f("0.0001", kNone);
  f("5 parsecs", kNone);
  f("1h30", kNone);
  f("-5s", kNone);
  f("nan", kNone);
  f("99999999999999999999d", kNone);
  f("", kNone);
  f("s", kNone);
}

TEST(Quantity, AreWrittenSoThatTheyAreReadBack) {
  for (const uint64_t bytes : {0ULL, 1ULL, 1000ULL, 1024ULL, 1536ULL, 1ULL << 20, 3ULL << 40, (1ULL << 50) + 1}) {
    EXPECT_EQ(ParseBytes(WriteBytes(bytes)), bytes) << WriteBytes(bytes);
  }
  for (const uint64_t ms : {0ULL, 1ULL, 999ULL, 1000ULL, 60'000ULL, 90'000ULL, 86'400'000ULL, 315'360'000'001ULL}) {
    EXPECT_EQ(ParseDuration(WriteDuration(ms)), ms) << WriteDuration(ms);
    EXPECT_EQ(ParseDuration(WriteSeconds(ms)), ms) << WriteSeconds(ms);
  }
  EXPECT_EQ(WriteBytes(uint64_t{32} << 20), "32MiB");
  EXPECT_EQ(WriteDuration(300'000), "5m");
  EXPECT_EQ(WriteSeconds(1'800'000), "1800");
}

}  // namespace
}  // namespace mi
