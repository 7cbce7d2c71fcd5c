// "Any stock sqlite3 can open the file while we write": the queries of docs/formats/sql.md through the real shell, and
// the hashes that people compute.
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/format.h"
#include "sqlite/database.h"
#include "store/sqlite/catalog.h"
#include "store/testing/contract_test.h"
#include "store/testing/fatal_log.h"
#include "store/testing/test_directory.h"

namespace mi::store {
namespace {

std::string ReadDocument() {
  std::ifstream file(MI_SOURCE_DIR "/docs/formats/sql.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Those before MySQL's dialect.
std::vector<std::string> DocumentedQueries() {
  std::string document = ReadDocument();
  document.resize(document.find("## MySQL and MariaDB"));
  const std::string_view fence = "```sql\n";
  std::vector<std::string> queries;
  for (size_t at = document.find(fence); at != std::string::npos; at = document.find(fence, at + 1)) {
    const size_t begin = at + fence.size();
    queries.push_back(document.substr(begin, document.find("```", begin) - begin));
  }
  return queries;
}

// What the shell prints; its complaints, too.
std::string RunShell(const std::string& path, const std::string& sql, int& status) {
  const std::string script = path + ".sql";
  std::ofstream(script) << sql;
  std::FILE* shell = popen(format("sqlite3 -readonly -bail '{}' < '{}' 2>&1", path, script).c_str(), "r");
  std::string output;
  for (int c = std::fgetc(shell); c != EOF; c = std::fgetc(shell)) output.push_back(static_cast<char>(c));
  status = WEXITSTATUS(pclose(shell));
  return output;
}

TEST(SqliteForPeople, AnswersTheDocumentedQueriesInTheStockShellWhileItWrites) {
  const TestDirectory directory;
  const SqliteCatalog catalog = SqliteCatalog::Open({.path = directory.catalog()}).value();
  const auto store = catalog.OpenStore(IgnoreFatal).value();
  const StreamPosition position[] = {{"journal", 0, 42}};
  model::SeriesBatch first = MakeBatch(
      "", 1'600'000'000'000, {{{"__name__", "up"}, {"job", "api"}}, {{"__name__", "up"}, {"pod", "checkout-0"}}});
  first.AddMetadata({"up", "gauge", "1 if it is up", ""});
  ASSERT_TRUE(store->Apply({&first, 1}, position));

  std::vector<std::string> answers;
  std::atomic<size_t> applied = 0;
  {
    std::jthread writer([&](const std::stop_token& stop) {
      const auto another = catalog.OpenStore(IgnoreFatal).value();
      for (size_t i = 0; !stop.stop_requested(); ++i) {
        const model::SeriesBatch batch = MakePodBatch("acme", 1'700'000'000'000, 100, i + 1);
        ASSERT_TRUE(another->Apply({&batch, 1}, {}));
        ASSERT_TRUE(i % 8 != 7 || another->Checkpoint());
        applied = i + 1;
      }
    });
    while (applied == 0) std::this_thread::yield();
    for (const std::string& query : DocumentedQueries()) {
      int status = 0;
      answers.push_back(RunShell(directory.catalog(), query, status));
      if (status == 127) GTEST_SKIP() << "there is no sqlite3 shell on this machine";
      EXPECT_EQ(status, 0) << query << answers.back();
    }
  }
  ASSERT_EQ(answers.size(), 7U);
  using testing::HasSubstr;
  EXPECT_THAT(answers[0], HasSubstr("acme|container_metric_"));
  EXPECT_THAT(answers[1], HasSubstr("_total|"));
  EXPECT_THAT(answers[2], HasSubstr("|||2|2020-09-13T12:26:40Z\n"));
  EXPECT_EQ(answers[3], "|up{pod=\"checkout-0\"}\n");
  EXPECT_THAT(answers[4], HasSubstr("job|2|"));
  EXPECT_THAT(answers[5], HasSubstr("0\nup{job=\"api\"}|2020-09-13T12:26:40Z\n"));
  EXPECT_THAT(answers[6], HasSubstr("|up{job=\"api\"}|49b159f4de24987febf30f0030a889e9|1600000000000|"));
  EXPECT_THAT(answers[6], HasSubstr("\n|gauge||1 if it is up\njournal|0|42\n3|" + catalog.uuid() + "|"));
}

TEST(SqliteForPeople, KeysDictionaryRowsByHashesThatPeopleCanCompute) {
  const TestDirectory directory;
  const SqliteCatalog catalog = SqliteCatalog::Open({.path = directory.catalog()}).value();
  const auto store = catalog.OpenStore(IgnoreFatal).value();
  const model::SeriesBatch batches[] = {
      MakeBatch("", 1, {{{"__name__", "up"}, {"env", "prod"}, {"service", "api"}, {"job", "checkout-0"}}}),
      MakeBatch("acme", 1, {{{"__name__", "up"}, {"job", "a"}}, {{"__name__", "up"}, {"job", "a "}}})};
  ASSERT_TRUE(store->Apply(batches, {}));
  sqlite::Database database = sqlite::Database::Open(directory.catalog(), {.read_only = true}).value();
  const std::string document = ReadDocument();
  const auto f = [&](const std::string& row, std::string_view hash) {
    EXPECT_EQ(database.QueryInt(format("SELECT count(*) FROM {} AND hash = x'{}'", row, hash)).value(), 1) << row;
    EXPECT_THAT(document, testing::HasSubstr(hash));
  };
  f("metric_label_name WHERE name = 'job'", "5e8c9902207afaeb7120430c585a445f");
  f("metric_label_value WHERE value = 'checkout-0'", "eb33879dd82e96d222ffc0997a5fa848");
  f("metric_label_value WHERE value = 'a'", "ca978112ca1bbdcafac231b39a23dc4d");
  f("metric_label_value WHERE value = 'a '", "6583dcd6056fd32aadd0d2d0be920de9");
  f("metric_basic_label WHERE tenant = '' AND env = 'prod' AND service = 'api' AND __name__ = 'up'",
    "99b0d44d4c47dfec2ee3c47e54743499");
  f("metric_basic_label WHERE tenant = 'acme' AND env = '' AND service = '' AND __name__ = 'up'",
    "4171cc7e356c35ec3a6b5261d8acd81b");
}

}  // namespace
}  // namespace mi::store
