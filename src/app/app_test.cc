#include <atomic>
#include <filesystem>
#include <future>

#include "app/command_line.h"
#include "app/data_directory.h"

namespace mi::app {
namespace {

std::variant<Command, Leave> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "metric-index");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLine, ServesByDefault) {
  EXPECT_EQ(std::get<Command>(Parse({})).kind, Command::Kind::kServe);
  EXPECT_EQ(std::get<Command>(Parse({"serve"})).kind, Command::Kind::kServe);
}

TEST(CommandLine, AcceptsOptionsBeforeAndAfterTheCommand) {
  for (const auto& arguments :
       {std::vector<const char*>{"--listen", ":1", "serve"}, std::vector<const char*>{"serve", "--listen", ":1"}}) {
    const auto command = std::get<Command>(Parse(arguments));
    ASSERT_EQ(command.overrides.size(), 1U);
    EXPECT_EQ(command.overrides[0], (std::pair<std::string, std::string>("app.listen", ":1")));
  }
}

TEST(CommandLine, KnowsTheCommandsOfTheConfiguration) {
  EXPECT_EQ(std::get<Command>(Parse({"config", "check", "a.yml"})).check_file, "a.yml");
  EXPECT_EQ(std::get<Command>(Parse({"config", "show"})).kind, Command::Kind::kConfigShow);
  EXPECT_EQ(std::get<Command>(Parse({"config", "default"})).kind, Command::Kind::kConfigDefault);
}

TEST(CommandLine, KnowsTheCommandsOfTheDatabase) {
  EXPECT_EQ(std::get<Command>(Parse({"replay"})).replay_from, "beginning");
  EXPECT_EQ(std::get<Command>(Parse({"replay", "--from", "1700000000", "--config", "a.yml"})).replay_from,
            "1700000000");
  EXPECT_EQ(std::get<Command>(Parse({"schema", "mysql"})).schema, "mysql");
  EXPECT_EQ(std::get<Command>(Parse({"schema", "adopt", "--config", "a.yml"})).kind, Command::Kind::kSchemaAdopt);
}

TEST(CommandLine, KnowsTheCommandsOfTheCatalogueAsAFile) {
  auto f = [](std::vector<const char*> arguments, Command::Kind kind, const char* file) {
    const auto command = std::get<Command>(Parse(std::move(arguments)));
    EXPECT_EQ(command.kind, kind);
    EXPECT_EQ(command.catalog_file, file);
  };
  f({"backup", "a.db"}, Command::Kind::kBackup, "a.db");
  f({"restore", "a.db", "--data", "d"}, Command::Kind::kRestore, "a.db");
  f({"check"}, Command::Kind::kCheck, "");
  f({"--config", "a.yml", "check", "a.db"}, Command::Kind::kCheck, "a.db");
  f({"repair"}, Command::Kind::kRepair, "");
}

TEST(CommandLine, ExitsWith2IfItIsWrongAndWith0ForHelp) {
  auto f = [](std::vector<const char*> arguments, int code) {
    EXPECT_EQ(std::get<Leave>(Parse(std::move(arguments))).exit_code, code);
  };
  f({"--help"}, 0);
  f({"--version"}, 0);
  f({"--nonsense"}, 2);
  f({"nonsense"}, 2);
  f({"config"}, 2);
  f({"schema"}, 2);
  f({"backup"}, 2);
  f({"restore"}, 2);
}

TEST(DataDirectory, IsLockedByOneProcess) {
  const std::string path = testing::TempDir() + "data_directory_test/deep";
  {
    const auto first = DataDirectory::Open(path);
    ASSERT_TRUE(first);
    const auto second = DataDirectory::Open(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Errc::kUnavailable);
    EXPECT_THAT(second.error().message(), testing::HasSubstr("in use by process"));
  }
  EXPECT_TRUE(DataDirectory::Open(path));
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace mi::app
