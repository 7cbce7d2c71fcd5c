#include "net/server.h"

#include <gtest/gtest.h>

#include "net/client.h"

namespace mi::net {
namespace {

class Quiet final : public telemetry::Logger {
 public:
  Status Reconfigure(const telemetry::LogOptions&) override { return {}; }
  bool Enabled(telemetry::Level) const override { return true; }
  void Write(telemetry::Level, std::string_view) override {}
  void Flush() override {}
};
class Echo final : public Handler {
 public:
  HeadDecision Head(const Request&) override { return {.max_body_bytes = 32 << 20}; }
  void Handle(const Request& r, Reply reply) override { reply({.body = std::string(r.body())}); }
};

TEST(Server, Echoes) {
  Quiet log;
  Echo echo;
  Router router;
  router.Add("/echo", echo);
  auto server = Server::Create({.listen = "127.0.0.1:0", .threads = 2}, router, log);
  ASSERT_TRUE(server.has_value()) << server.error().message();
  (*server)->Start();
  auto client = Client::Create("127.0.0.1", std::to_string((*server)->port()), std::chrono::seconds(10));
  for (size_t size : {0, 1, 100, 94000, 1000000, 10000000}) {
    auto answer = client->Send("POST", "/echo", {}, std::string(size, 'x'));
    ASSERT_TRUE(answer.has_value()) << answer.error().message();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body.size(), size);
  }
  EXPECT_EQ(client->Send("GET", "/nope", {}, "")->status, 404);
  EXPECT_EQ((*server)->stats().buffered_bytes, 0);
}

}  // namespace
}  // namespace mi::net
