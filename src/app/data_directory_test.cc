#include "app/data_directory.h"

#include <filesystem>
#include <fstream>

namespace mi::app {
namespace {

TEST(DataDirectoryOnDisk, StaysHeldWhenItsLockFileIsDeleted) {
  const std::string path = testing::TempDir() + "data_directory_lock_test";
  {
    const auto first = DataDirectory::Open(path);
    ASSERT_TRUE(first);
    std::filesystem::remove(path + "/LOCK");
    EXPECT_FALSE(DataDirectory::Open(path));
  }
  std::filesystem::remove_all(path);
}

TEST(DataDirectoryOnDisk, TellsThatItOrAFileInItWasDeleted) {
  const std::string path = testing::TempDir() + "data_directory_intact_test";
  std::filesystem::remove_all(path);
  const auto directory = DataDirectory::Open(path);
  ASSERT_TRUE(directory);
  const std::string file = directory->PathOf("catalog.db");
  std::ofstream(file) << "x";
  EXPECT_TRUE(directory->Intact({"catalog.db"}));
  std::filesystem::remove(file);
  EXPECT_TRUE(directory->Intact({}));
  EXPECT_THAT(directory->Intact({"catalog.db"}).error().message(), testing::HasSubstr("catalog.db was deleted"));
  std::filesystem::remove_all(path);
  EXPECT_THAT(directory->Intact({}).error().message(), testing::HasSubstr("deleted or moved"));
  std::filesystem::create_directories(path);
  EXPECT_FALSE(directory->Intact({})) << "another folder of that name";
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace mi::app
