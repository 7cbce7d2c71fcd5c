#include "telemetry/rotating_file.h"

#include <filesystem>
#include <fstream>
#include <set>

namespace mi::telemetry {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNoon = 1'136'203'200'000;  // 2006-01-02T12:00:00Z
constexpr int64_t kDay = 86'400'000;

class RotatingFileTest : public testing::Test {
 protected:
  RotatingFileTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("rotating_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~RotatingFileTest() override { fs::remove_all(folder_); }

  std::string Path() const { return (folder_ / "mi.log").string(); }

  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.insert(entry.path().filename().string());
    return names;
  }

  fs::path folder_;
};

TEST_F(RotatingFileTest, SetsAFullFileAsideUnderLumberjacksName) {
  RotatingFile file(Path(), {.max_bytes = 10});
  ASSERT_TRUE(file.Write("12345678\n", kNoon).has_value());
  ASSERT_TRUE(file.Write("next\n", kNoon + 7).has_value());
  EXPECT_EQ(Names(), (std::set<std::string>{"mi.log", "mi-2006-01-02T12-00-00.007.log"}));
  EXPECT_EQ(fs::file_size(Path()), 5U);
}

TEST_F(RotatingFileTest, TwoBackupsOfOneMillisecondHaveDifferentNames) {
  RotatingFile file(Path(), {.max_bytes = 4});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(file.Write("abcd\n", kNoon).has_value());
  EXPECT_EQ(Names(),
            (std::set<std::string>{"mi.log", "mi-2006-01-02T12-00-00.000.log", "mi-2006-01-02T12-00-00.001.log"}));
}

TEST_F(RotatingFileTest, CountsTheBytesOfAnExistingFile) {
  std::ofstream(Path()) << "12345678\n";
  RotatingFile file(Path(), {.max_bytes = 10});
  ASSERT_TRUE(file.Write("next\n", kNoon).has_value());
  EXPECT_EQ(Names().size(), 2U);
}

TEST_F(RotatingFileTest, KeepsTheNewestBackupsAndForeignFiles) {
  for (const char* name : {"mi-2006-01-01T00-00-00.000.log", "mi-2005-12-31T00-00-00.000.log", "mi-notes.log",
                           "mi-2006-13-01T00-00-00.000.log", "mi-2005-12-30T00-00-00.000.log.gz",
                           "mi-2006-01-01T00-00-00.000.log.xz", "other.log"}) {
    std::ofstream(folder_ / name) << "x";
  }
  RotatingFile file(Path(), {.max_bytes = 4, .max_backups = 2});
  ASSERT_TRUE(file.Write("abcd\n", kNoon).has_value());
  ASSERT_TRUE(file.Write("abcd\n", kNoon).has_value());
  EXPECT_EQ(Names(), (std::set<std::string>{
                         "mi.log", "mi-2006-01-02T12-00-00.000.log", "mi-2006-01-01T00-00-00.000.log", "mi-notes.log",
                         "mi-2006-13-01T00-00-00.000.log", "mi-2006-01-01T00-00-00.000.log.xz", "other.log"}));
}

TEST_F(RotatingFileTest, RemovesBackupsPastTheirAge) {
  RotatingFile file(Path(), {.max_bytes = 4, .max_age_days = 2});
  for (int day = 0; day < 5; ++day) ASSERT_TRUE(file.Write("abcd\n", kNoon + day * kDay).has_value());
  EXPECT_EQ(Names(), (std::set<std::string>{"mi.log", "mi-2006-01-04T12-00-00.000.log",
                                            "mi-2006-01-05T12-00-00.000.log", "mi-2006-01-06T12-00-00.000.log"}));
}

TEST_F(RotatingFileTest, RemovesOldBackupsWithTheFirstLineAndAfterNewLimits) {
  for (const char* name :
       {"mi-2006-01-01T00-00-00.000.log", "mi-2006-01-01T01-00-00.000.log", "mi-2005-01-01T00-00-00.000.log.gz"}) {
    std::ofstream(folder_ / name) << "x";
  }
  RotatingFile file(Path(), {.max_age_days = 30});
  ASSERT_TRUE(file.Write("line\n", kNoon).has_value());
  EXPECT_EQ(Names(),
            (std::set<std::string>{"mi.log", "mi-2006-01-01T00-00-00.000.log", "mi-2006-01-01T01-00-00.000.log"}));
  file.SetLimits({.max_backups = 1});
  ASSERT_TRUE(file.Write("line\n", kNoon).has_value());
  EXPECT_EQ(Names(), (std::set<std::string>{"mi.log", "mi-2006-01-01T01-00-00.000.log"}));
}

TEST_F(RotatingFileTest, NeverSetsADeviceAside) {
  fs::create_symlink("/dev/null", Path());
  RotatingFile file(Path(), {.max_bytes = 4});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(file.Write("abcd\n", kNoon).has_value());
  EXPECT_EQ(Names(), (std::set<std::string>{"mi.log"}));
}

TEST_F(RotatingFileTest, ReportsWhyItCannotWrite) {
  fs::create_symlink("/dev/full", Path());
  RotatingFile file(Path(), {});
  const auto written = file.Write("line\n", kNoon);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code(), Errc::kUnavailable);
  EXPECT_THAT(written.error().message(), testing::HasSubstr("No space left on device"));
}

}  // namespace
}  // namespace mi::telemetry
