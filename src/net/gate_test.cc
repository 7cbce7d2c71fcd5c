// What the server does before a request reaches its handler: the gate's verdict, forged requests, headers.
#include "net/gate.h"

#include "base/format.h"
#include "net/testing/server_fixture.h"

namespace mi::net {
namespace {

using ::testing::HasSubstr;

// Lets in who says a name, asks the test about "later", and refuses everybody else.
class TestGate final : public Gate {
 public:
  std::optional<Verdict> Check(const Request& request, Role needed, Later later) override {
    EXPECT_TRUE(request.body().empty());
    needed_ = needed;
    const std::string name(request.Header("Authorization").value_or(""));
    if (name.empty()) return std::unexpected(Response{.status = 401, .body = "who are you?\n"});
    if (name != "later") return std::make_shared<const Caller>(Caller{.name = name});
    EXPECT_TRUE(waiting_.TryPush(std::move(later)));
    return std::nullopt;
  }
  Later Next() { return std::move(*waiting_.PopUntil(std::chrono::steady_clock::now() + kPatience)); }
  Role needed() const { return needed_; }

 private:
  std::atomic<Role> needed_ = Role::kAnybody;
  BoundedQueue<Later> waiting_{100};
};

class GateTest : public ServerTest {
 protected:
  GateTest() {
    gate_ = &test_gate_;
    for (const auto& [path, role] :
         {std::pair("/write", Role::kWrite), std::pair("/read", Role::kRead), std::pair("/admin", Role::kAdmin)}) {
      Serve(
          path,
          [](const Request& request, Reply reply) {
            const std::string name = request.caller() == nullptr ? "nobody" : request.caller()->name;
            reply({.body = format("{}: {}", name, request.body())});
          },
          {}, role);
    }
  }
  // Of an answer that comes later.
  static Gate::Verdict As(std::string name) { return std::make_shared<const Caller>(Caller{.name = std::move(name)}); }

  TestGate test_gate_;
};

TEST_F(GateTest, HandlersLearnWhoAsks) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/write", "one", "Authorization: alice\r\n"));
  EXPECT_EQ(peer.Read().body, "alice: one");
  EXPECT_EQ(test_gate_.needed(), Role::kWrite);
  peer.Send(Get("/admin", "Authorization: bob\r\n"));
  EXPECT_EQ(peer.Read().body, "bob: ");
  EXPECT_EQ(test_gate_.needed(), Role::kAdmin);
}

TEST_F(GateTest, RefusesBeforeTheBodyIsRead) {
  Start();
  Peer peer = Connect();
  peer.Send("POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_EQ(peer.Read().status, 401);
  Peer patient = Connect();
  patient.Send("POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(patient.Read().status, 401) << "no 100 Continue";
}

TEST_F(GateTest, AVerdictMayComeLater) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/write", "one", "Authorization: later\r\n") + Post("/write", "two", "Authorization: later\r\n"));
  test_gate_.Next()(As("alice"));
  EXPECT_EQ(peer.Read().body, "alice: one");
  test_gate_.Next()(std::unexpected(Response{.status = 401, .body = "wrong\n"}));
  EXPECT_EQ(peer.Read().status, 401);
  peer.Send(Get("/read", "Authorization: bob\r\n"));
  EXPECT_EQ(peer.Read().body, "bob: ");
}

TEST_F(GateTest, ContinuesAChunkedRequestAndOneThatWaitsFor100Continue) {
  Start();
  Peer peer = Connect();
  peer.Send(
      "POST /write HTTP/1.1\r\nHost: x\r\nAuthorization: later\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\none\r\n0\r\n\r\n");
  test_gate_.Next()(As("alice"));
  EXPECT_EQ(peer.Read().body, "alice: one");
  peer.Send(
      "POST /write HTTP/1.1\r\nHost: x\r\nAuthorization: later\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  test_gate_.Next()(As("alice"));
  EXPECT_EQ(peer.Read().status, 100);
  peer.Send("two");
  EXPECT_EQ(peer.Read().body, "alice: two");
}

TEST_F(GateTest, AnswersOfEarlierRequestsAreNotHeldUp) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1", "Authorization: alice\r\n") + Get("/read", "Authorization: later\r\n"));
  NextParked().reply({.body = "first"});
  EXPECT_EQ(peer.Read().body, "first");
  test_gate_.Next()(As("bob"));
  EXPECT_EQ(peer.Read().body, "bob: ");
}

TEST_F(GateTest, AConnectionThatEndsMeanwhileNeedsNoVerdict) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/read", "Authorization: later\r\n"));
  Gate::Later later = test_gate_.Next();
  peer.Vanish();
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
  later(As("alice"));
  Peer other = Connect();
  other.Send(Get("/read", "Authorization: bob\r\n"));
  EXPECT_EQ(other.Read().body, "bob: ");
}

TEST_F(GateTest, ADrainWaitsForTheVerdict) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/read", "Authorization: later\r\n"));
  Gate::Later later = test_gate_.Next();
  std::thread drain([&] { server_->Drain(kPatience); });
  later(As("alice"));
  EXPECT_EQ(peer.Read().body, "alice: ");
  EXPECT_TRUE(peer.Ended());
  drain.join();
}

TEST_F(GateTest, AVerdictMayOutliveTheServer) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/read", "Authorization: later\r\n"));
  Gate::Later later = test_gate_.Next();
  server_.reset();
  later(As("alice"));
  EXPECT_TRUE(peer.Ended());
}

TEST_F(GateTest, RefusesWhatPagesOfOtherSitesSend) {
  gate_ = nullptr;
  Start();
  Peer peer = Connect();
  auto f = [&](std::string_view target, std::string_view headers, int status) {
    peer.Send(Post(target, "x", headers));
    EXPECT_EQ(peer.Read().status, status) << target << " " << headers;
  };
  for (const char* target : {"/write", "/admin"}) {
    f(target, "", 200);
    f(target, "Sec-Fetch-Site: same-origin\r\n", 200);
    f(target, "Sec-Fetch-Site: none\r\n", 200);
    f(target, "Sec-Fetch-Site: cross-site\r\n", 403);
    f(target, "Sec-Fetch-Site: same-site\r\n", 403);
    f(target, "Origin: http://x\r\n", 200);  // the fixture's Host is x
    f(target, "Origin: http://evil.example\r\n", 403);
    f(target, "Origin: null\r\n", 403);
    f(target, "Sec-Fetch-Site: same-origin\r\nOrigin: http://behind-a-proxy\r\n", 200);
  }
  f("/read", "Sec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n", 200);  // changes nothing
  peer.Send(Get("/admin", "Sec-Fetch-Site: cross-site\r\n"));
  EXPECT_EQ(peer.Read().status, 200) << "a link on another page";
}

TEST_F(GateTest, EveryAnswerWithABodyIsSafeForBrowsers) {
  Start();
  Peer peer = Connect();
  for (const std::string& request : {Get("/read", "Authorization: alice\r\n"), Get("/read"), Get("/nowhere")}) {
    peer.Send(request);
    const Answer answer = peer.Read();
    EXPECT_TRUE(answer.Says("X-Content-Type-Options: nosniff")) << answer.head;
    EXPECT_TRUE(answer.Says("Referrer-Policy: no-referrer")) << answer.head;
  }
}

TEST_F(GateTest, EveryAnswerHasTheHeadersThatAreAdded) {
  Result<std::unique_ptr<Server>> server = Server::Create(options_, router_, log_, gate_);
  server_ = std::move(*server);
  server_->SetHeaders({{"X-Frame-Options", "deny"}, {"X-XSS-Protection", "1"}});
  server_->Start();
  Peer peer = Connect();
  for (const std::string& request : {Get("/read", "Authorization: alice\r\n"), Get("/read")}) {
    peer.Send(request);
    EXPECT_THAT(peer.Read().head, HasSubstr("\r\nX-Frame-Options: deny\r\nX-XSS-Protection: 1\r\n"));
  }
}

}  // namespace
}  // namespace mi::net
