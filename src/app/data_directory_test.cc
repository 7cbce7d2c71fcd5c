#include "app/data_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mi::app {
namespace {

TEST(DataDirectoryOnDisk, StaysLockedIfItsLockFileIsDeleted) {
  const std::string path = testing::TempDir() + "data_directory_lock_test";
  {
    const auto first = DataDirectory::Open(path);
    ASSERT_TRUE(first);
    std::filesystem::remove(path + "/LOCK");
    EXPECT_FALSE(DataDirectory::Open(path));
  }
  std::filesystem::remove_all(path);
}

TEST(DataDirectoryOnDisk, IsForItsOwnerAloneAndWarnsIfItIsNot) {
  namespace fs = std::filesystem;
  const std::string path = testing::TempDir() + "data_directory_rights_test";
  fs::remove_all(path);
  {
    const auto fresh = DataDirectory::Open(path);
    ASSERT_TRUE(fresh);
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
    EXPECT_EQ(fs::status(path + "/LOCK").permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(fresh->OpenToOthers(), std::nullopt);
  }
  fs::permissions(path, fs::perms{0755});
  const auto wide = DataDirectory::Open(path);
  ASSERT_TRUE(wide);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms{0755}) << "somebody may depend on it";
  EXPECT_THAT(wide->OpenToOthers().value(), testing::HasSubstr("mode 0755"));
  fs::remove_all(path);
}

TEST(DataDirectoryOnDisk, ItsLockFileBelongsToTheOwnerOfTheFolderIfRootMakesIt) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  constexpr uid_t kNobody = 65534;
  const std::string path = testing::TempDir() + "data_directory_owner_test";
  std::filesystem::remove_all(path);
  std::filesystem::create_directory(path);
  ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
  ASSERT_TRUE(DataDirectory::Open(path));
  struct stat lock{};
  ASSERT_EQ(stat((path + "/LOCK").c_str(), &lock), 0);
  EXPECT_EQ(lock.st_uid, kNobody);
  std::filesystem::remove_all(path);
}

TEST(DataDirectoryOnDisk, DetectsThatItOrAGuardedFileWasDeletedOrReplaced) {
  const std::string path = testing::TempDir() + "data_directory_intact_test";
  std::filesystem::remove_all(path);
  auto directory = DataDirectory::Open(path);
  ASSERT_TRUE(directory);
  EXPECT_FALSE(directory->Guard({"catalog.db"})) << "there is none yet";
  const std::string file = directory->PathOf("catalog.db");
  std::ofstream(file) << "x";
  EXPECT_TRUE(directory->Intact());
  EXPECT_TRUE(directory->Guard({"catalog.db"}));
  EXPECT_TRUE(directory->Intact());
  std::filesystem::rename(file, file + ".mine");
  EXPECT_THAT(directory->Intact().error().message(), testing::HasSubstr("catalog.db was deleted or replaced"));
  std::ofstream(path + "/backup.db") << "y";
  std::filesystem::rename(path + "/backup.db", file);
  EXPECT_FALSE(directory->Intact()) << "another file of that name";
  std::filesystem::rename(file + ".mine", file);
  EXPECT_TRUE(directory->Intact());
  std::filesystem::remove_all(path);
  EXPECT_THAT(directory->Intact().error().message(), testing::HasSubstr("deleted or moved"));
  std::filesystem::create_directories(path);
  EXPECT_FALSE(directory->Intact()) << "another folder of that name";
  std::filesystem::remove_all(path);
}

TEST(DataDirectoryOnDisk, DetectsThatTheLogOfADatabaseOrItsIndexWasDeletedOrReplaced) {
  const std::string path = testing::TempDir() + "data_directory_wal_test";
  std::filesystem::remove_all(path);
  auto directory = DataDirectory::Open(path);
  ASSERT_TRUE(directory);
  for (const std::string name : {"a.db", "a.db-wal", "a.db-shm", "b.db"}) std::ofstream(directory->PathOf(name)) << "x";
  ASSERT_TRUE(directory->Guard({"a.db", "b.db"}));
  std::ofstream(directory->PathOf("b.db-wal")) << "of another process, if the database had none";
  EXPECT_TRUE(directory->Intact());
  for (const std::string name : {"a.db-wal", "a.db-shm"}) {
    const std::string file = directory->PathOf(name);
    std::filesystem::rename(file, file + ".mine");
    EXPECT_THAT(directory->Intact().error().message(), testing::HasSubstr(name + " was deleted or replaced"));
    std::ofstream(file) << "y";
    EXPECT_FALSE(directory->Intact()) << "another file of that name";
    std::filesystem::rename(file + ".mine", file);
    EXPECT_TRUE(directory->Intact());
  }
  std::filesystem::remove_all(path);
}

TEST(DataDirectoryOnDisk, SetsAsideTheLogOfADatabaseThatWasReplaced) {
  const std::string path = testing::TempDir() + "data_directory_log_test";
  std::filesystem::remove_all(path);
  auto directory = DataDirectory::Open(path);
  ASSERT_TRUE(directory);
  for (const std::string name : {"a.db", "b.db", "c.db"}) {
    std::ofstream(directory->PathOf(name)) << "x";
    std::ofstream(directory->PathOf(name + "-wal")) << "old";
  }
  ASSERT_TRUE(directory->Guard({"a.db", "b.db", "c.db"}));
  for (const std::string name : {"b.db", "c.db", "c.db-wal"}) {
    std::ofstream(directory->PathOf("new")) << "y";
    std::filesystem::rename(directory->PathOf("new"), directory->PathOf(name));
  }
  directory->SetAsideOrphanedLogs();
  const auto exists = [&](std::string_view name) { return std::filesystem::exists(directory->PathOf(name)); };
  EXPECT_TRUE(exists("a.db-wal")) << "its database is the same";
  EXPECT_FALSE(exists("b.db-wal"));
  EXPECT_TRUE(exists("b.db-wal.orphaned"));
  EXPECT_TRUE(exists("c.db-wal")) << "it came with its database";
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace mi::app
