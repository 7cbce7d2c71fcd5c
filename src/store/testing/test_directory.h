// A directory of its own for each test that keeps files; gone when the test is over.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace mi::store {

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class TestDirectory {
 public:
  TestDirectory() {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string catalog() const { return path_ + "/catalog.db"; }

 private:
  static std::string Name() {
    static int made = 0;
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name =
        std::string("store.") + test->test_suite_name() + "." + test->name() + "." + std::to_string(made++);
    std::ranges::replace(name, '/', '.');
    return testing::TempDir() + name;
  }
  const std::string path_ = Name();
};

}  // namespace mi::store
