#include "loadgen/verify.h"

#include <fstream>

#include "loadgen/acknowledged.h"
#include "loadgen/shape.h"
#include "model/identity.h"
#include "net/testing/server_fixture.h"

namespace mi::loadgen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out + "\"";
}

// A service that has `catalogued` once `/metrics` has said so often that it is behind.
class VerifyTest : public net::ServerTest {
 protected:
  void SetUp() override {
    Serve("/metrics", [this](const net::Request&, net::Reply reply) {
      const int lag = lag_ > 0 ? lag_-- : 0;
      reply({.body = format("# HELP x\nmetric_index_index_lag_records {}\nother 1\n", lag)});
    });
    Serve("/api/v1/series", [this](const net::Request& request, net::Reply reply) {
      tenant_ = request.Header("X-Scope-OrgID").value_or("");
      const auto form = net::FormParameters::Parse(request.body());
      const std::string_view selector = form.First("match[]").value_or("");
      std::string data;
      for (const std::string& identity : catalogued_) {
        const model::Labels labels = *model::ParseIdentity(identity);
        if (selector != format("{{__name__=\"{}\"}}", labels.view().metric_name())) continue;
        std::string series;
        for (const auto [name, value] : labels.view()) {
          series += format("{}{}:{}", series.empty() ? "" : ",", Quoted(name), Quoted(value));
        }
        data += format("{}{{{}}}", data.empty() ? "" : ",", series);
      }
      if (lag_ > 0) asked_while_behind_ = true;
      reply({.body = format(R"({{"status":"success","data":[{}]}})", data)});
    });
    Start();
  }
  Result<Verdict> Run(std::string_view lines, std::chrono::milliseconds patience) {
    const std::string path =
        testing::TempDir() + "/verify_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ofstream(path, std::ios::binary) << lines;
    return Verify({.base = {.origin = "http://127.0.0.1:" + std::to_string(server_->port()), .target = "/"},
                   .tenant = "team-a",
                   .acknowledged_file = path,
                   .patience = patience});
  }

  static constexpr std::chrono::milliseconds kNone{0};
  std::vector<std::string> catalogued_;
  std::atomic<int> lag_ = 0;
  std::atomic<bool> asked_while_behind_ = false;
  std::string tenant_;
};

TEST_F(VerifyTest, FindsAllThatIsThere) {
  catalogued_ = {"up{job=\"a\"}", "up{job=\"b\"}", "down{}", "more{than=\"asked\"}"};
  const auto verdict = Run("up{job=\"b\"}\nup{job=\"a\"}\ndown{}\nup{job=\"a\"}\n", kNone);
  ASSERT_TRUE(verdict.has_value()) << verdict.error().message();
  EXPECT_EQ(verdict->acknowledged, 3);  // a line that comes twice is one series
  EXPECT_EQ(verdict->missing, 0);
  EXPECT_EQ(tenant_, "team-a");
}

TEST_F(VerifyTest, NamesTheFirstThatAreMissing) {
  catalogued_ = {"up{job=\"a\"}"};
  const auto verdict = Run("up{job=\"b\"}\nup{job=\"a\"}\nup{}\ndown{}\n", kNone);
  ASSERT_TRUE(verdict.has_value()) << verdict.error().message();
  EXPECT_EQ(verdict->acknowledged, 4);
  EXPECT_EQ(verdict->missing, 3);
  EXPECT_THAT(verdict->first_missing, ElementsAre("up{job=\"b\"}", "up{}", "down{}"));
}

TEST_F(VerifyTest, ComparesValuesByteForByte) {
  const std::string identity = R"(odd{a="line\nbreak",b="quote\" and back\\slash",c="ü"})";
  catalogued_ = {identity};
  EXPECT_EQ(Run(identity + "\n", kNone)->missing, 0);
  EXPECT_EQ(Run(R"(odd{a="line\nbreak",b="quote\" and back\\slash",c="u"})", kNone)->missing, 1);
}

TEST_F(VerifyTest, WaitsForTheIndexToCatchUp) {
  lag_ = 3;
  catalogued_ = {"up{}"};
  EXPECT_EQ(Run("up{}\n", net::kPatience)->missing, 0);
  EXPECT_FALSE(asked_while_behind_);
}

TEST_F(VerifyTest, AnEmptyFileIsAllThere) {
  const auto verdict = Run("", kNone);
  EXPECT_EQ(verdict->acknowledged, 0);
  EXPECT_THAT(verdict->first_missing, IsEmpty());
}

TEST_F(VerifyTest, SaysWhatItCannotRead) {
  const auto line = Run("up{job=\"a\"}\nnot an identity{\n", kNone);
  ASSERT_FALSE(line.has_value());
  EXPECT_THAT(line.error().message(), HasSubstr("not an identity"));
  const auto file = Verify({.acknowledged_file = "/nowhere/at/all"});
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().message(), HasSubstr("/nowhere/at/all"));
  server_.reset();
  const auto server = Verify({.base = {.origin = "http://127.0.0.1:1", .target = "/"},
                              .acknowledged_file = testing::TempDir() + "/verify_SaysWhatItCannotRead",
                              .patience = kNone});
  EXPECT_FALSE(server.has_value());
}

TEST(Acknowledged, WritesEachIdentityOnALine) {
  const std::string path = testing::TempDir() + "/acknowledged";
  ASSERT_TRUE(WriteAcknowledged(path, {.shape = Shape::kKubernetes, .seed = 3}, {{0, 2}, {7, 1}}).has_value());
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre(IdentityOf(Shape::kKubernetes, 3, 0), IdentityOf(Shape::kKubernetes, 3, 1),
                                 IdentityOf(Shape::kKubernetes, 3, 7)));
  const Status failed = WriteAcknowledged("/nowhere/at/all", {}, {{0, 1}});
  ASSERT_FALSE(failed.has_value());
  EXPECT_THAT(failed.error().message(), HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace mi::loadgen
