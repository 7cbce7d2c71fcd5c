#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "config/print.h"
#include "config/rows.h"
#include "config/testing/option_tables.h"
#include "config/value.h"

namespace mi::config {
namespace {

using testing::HasSubstr;

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Every option at another value than its default.
Config NothingIsDefault() {
  Config config;
  config.remote_write.resize(2);
  config.librdkafka = {{"linger.ms", "20"}, {"ssl.key.pem", "---\nBEGIN: \"x\"\n\ttab\\\r\n# no comment"}};
  for (const Row& row : Rows()) {
    for (size_t element = 0; element < (row.path.contains("[]") ? 2U : 1U); ++element) {
      const Member member = row.member(config, element);
      if (auto* const* text = std::get_if<std::string*>(&member); text != nullptr && row.check == nullptr) {
        **text = row.choices.empty() ? "'it\": #1 \xc3\xa9, {*}"
                                     : std::string(row.choices.substr(row.choices.rfind('|') + 1));
      } else if (auto* const* number = std::get_if<uint64_t*>(&member)) {
        **number = row.max == UINT64_MAX ? 77'777 : row.unit == Unit::kSeconds ? row.max / 1000 : row.max;
      } else if (auto* const* port = std::get_if<uint16_t*>(&member)) {
        **port = static_cast<uint16_t>(row.max);
      } else if (auto* const* duration = std::get_if<milliseconds*>(&member)) {
        **duration = milliseconds(row.max - (row.path.ends_with("dist_interval") ? 1 : 0));
      } else if (auto* const* flag = std::get_if<bool*>(&member)) {
        **flag = !**flag;
      } else if (auto* const* choice = std::get_if<uint8_t*>(&member)) {
        **choice = static_cast<uint8_t>(std::ranges::count(row.choices, '|'));
      } else if (auto* const* list = std::get_if<std::vector<std::string>*>(&member)) {
        **list = row.path.ends_with("hosts") ? std::vector<std::string>{"[::1]:9092", "b:1"}
                                             : std::vector<std::string>{"x", "y"};
      }
    }
  }
  config.receive.series.max_value_bytes = config.receive.series.max_name_bytes = 8;
  config.redis_writes.expires = false;
  config.server.listen = "127.0.0.1:0";
  config.remote_write[0].url = config.remote_write[1].url = "https://host:1/x?token=pw";
  config.log.level = "error";
  return config;
}

TEST(Print, TheDefaultLoadsToTheDefaults) {
  const auto loaded = LoadFromText(PrintDefault());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->config, Config());
  EXPECT_THAT(loaded->warnings, testing::IsEmpty());
}

TEST(Print, TheDefaultHasEveryOptionWithItsProse) {
  const std::string text = PrintDefault();
  for (const Row& row : Rows()) {
    EXPECT_THAT(text, HasSubstr(std::string(LastWord(row.path)) + ":")) << row.path;
    EXPECT_THAT(text, HasSubstr(std::string(row.prose))) << row.path;
  }
}

TEST(Print, PrintedValuesAreReadBack) {
  const Config config = NothingIsDefault();
  const auto loaded = LoadFromText(PrintYaml(config));
  ASSERT_TRUE(loaded) << loaded.error().message() << "\n" << PrintYaml(config);
  EXPECT_EQ(loaded->config, config) << PrintYaml(config);
}

TEST(Print, ShownValuesAreYaml) {
  Loaded loaded;
  loaded.config = NothingIsDefault();
  loaded.file = "x.yml";
  const auto again = LoadFromText(PrintShow(loaded));
  ASSERT_TRUE(again) << again.error().message();
  loaded.config.mysql.password = loaded.config.redis.password = loaded.config.identity_secret = "***";
  loaded.config.librdkafka["ssl.key.pem"] = "***";
  for (auto& write : loaded.config.remote_write) write.url = "https://host:1/x?***";
  EXPECT_EQ(again->config, loaded.config);
}

TEST(Print, TheTablesOfTheDocumentationAreMadeFromTheRows) {
  const std::string path = MI_SOURCE_DIR "/docs/configuration.md";
  std::string text = Read(path);
  const size_t tables = text.find("\n## ");
  ASSERT_NE(tables, std::string::npos);
  if (std::getenv("MI_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << text.substr(0, tables) << OptionTables();
    text = Read(path);
  }
  EXPECT_EQ(text.substr(tables), OptionTables()) << "MI_WRITE_DOCS=1 config_test --gtest_filter=Print.* writes them";
}

TEST(Rows, PathsAndVariablesAreUnique) {
  std::set<std::string> paths;
  std::set<std::string> variables;
  for (const Row& row : Rows()) {
    EXPECT_TRUE(paths.emplace(row.path).second) << row.path;
    EXPECT_TRUE(variables.insert(EnvironmentName(row.path)).second) << row.path;
    EXPECT_EQ(FindRow(row.path), &row);
    EXPECT_FALSE(IsSection(row.path) && row.path != "librdkafka") << row.path;
  }
}

// METRIC_INDEX_X_FILE may name the option x_file, or a file with the value of x: never both.
TEST(Rows, NoVariableHasTwoMeanings) {
  std::set<std::string> variables;
  for (const Row& row : Rows()) variables.insert(EnvironmentName(row.path));
  for (const std::string& variable : variables) EXPECT_FALSE(variables.contains(variable + "_FILE")) << variable;
}

TEST(Rows, EveryRowHasAMemberOfItsOwn) {
  Config one;
  std::set<const void*> members;
  for (const Row& row : Rows()) {
    const Member member = row.member(one, 0);
    const void* address = std::visit([](auto* value) -> const void* { return value; }, member);
    EXPECT_TRUE(members.insert(address).second) << row.path << " shares a member with another row";
  }
}

TEST(Rows, EveryDefaultIsLegal) {
  Config config;
  for (const Row& row : Rows()) {
    const Member member = row.member(config, 0);
    if (row.path == "librdkafka") continue;
    if (std::holds_alternative<std::vector<std::string>*>(member)) continue;  // an empty list is
    const auto set = SetFromText(row, member, FormatPlain(row, member));
    EXPECT_TRUE(set.has_value()) << row.path << " " << (set ? "" : set.error());
  }
  EXPECT_EQ(config, Config());
}

TEST(Rows, CorrectsMisspellings) {
  EXPECT_EQ(CorrectSpelling("metric_store.consummer"), "metric_store.consumer");
  EXPECT_EQ(CorrectSpelling("metric_store.consummer.hosts"), "metric_store.consumer.hosts");
  EXPECT_EQ(CorrectSpelling("metric_store.consummers"), "metric_store.consummers");
  EXPECT_EQ(CorrectSpelling("mysql.dbname"), "mysql.db_name");
  EXPECT_EQ(CorrectSpelling("redis.dbname"), "redis.dbname");
}

TEST(Rows, SomeHaveAFlagOfTheirOwn) {
  std::set<std::string> flags;
  for (const Row& row : Rows()) {
    if (!row.flag.empty()) flags.insert(std::string(row.flag) + " " + std::string(row.path));
  }
  EXPECT_EQ(flags, (std::set<std::string>{"--role app.role_type", "--listen app.listen", "--data app.data_dir",
                                          "--web.config.file web.config_file"}));
}

}  // namespace
}  // namespace mi::config
