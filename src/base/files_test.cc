#include "base/files.h"

#include <fstream>
#include <iterator>

namespace mi {
namespace {

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Files, MovesAFileOverAnOtherOne) {
  const std::string name = testing::TempDir() + "files_test";
  std::ofstream(name) << "old";
  std::ofstream(name + ".tmp") << "new";
  EXPECT_TRUE(MoveIntoPlace(name + ".tmp", name));
  EXPECT_EQ(Content(name), "new");
  EXPECT_FALSE(std::filesystem::exists(name + ".tmp"));
}

TEST(Files, SaysWhyAFileCannotBeMoved) {
  const std::string name = testing::TempDir() + "files_test_of_nothing";
  const Status moved = MoveIntoPlace(name + ".tmp", name);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().message(), name + " cannot be put in place: No such file or directory");
}

TEST(Files, NamesTheFolderOfAFile) {
  EXPECT_EQ(FolderOf("/var/lib/catalog.db"), "/var/lib");
  EXPECT_EQ(FolderOf("catalog.db"), ".");
}

}  // namespace
}  // namespace mi
