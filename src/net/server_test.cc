// What one request after another gets to hear.
#include "net/server.h"

#include <future>

#include "net/client.h"
#include "net/testing/server_fixture.h"

namespace mi::net {
namespace {

using namespace std::string_view_literals;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(ServerTest, AnswersOneRequestAfterAnother) {
  Start();
  Peer peer = Connect();
  for (const std::string_view body : {"one", "", "three"}) {
    ASSERT_TRUE(peer.Send(Post("/echo", body)));
    const Answer answer = peer.Read();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, body);
    EXPECT_TRUE(answer.Says("Content-Type: text/plain; charset=utf-8"));
    EXPECT_FALSE(answer.Says("Connection: close"));
  }
}

TEST_F(ServerTest, TellsAWatchdogWhetherItsThreadsRespond) {
  std::promise<void> entered;
  std::promise<void> released;
  Serve("/hang", [&](const Request&, Reply reply) {
    entered.set_value();
    released.get_future().wait();
    reply({});
  });
  Start();
  EXPECT_TRUE(server_->Responds(kPatience));
  Peer peer = Connect();
  ASSERT_TRUE(peer.Send(Post("/hang", "")));
  entered.get_future().wait();
  EXPECT_FALSE(server_->Responds(std::chrono::milliseconds(1)));
  released.set_value();
  EXPECT_TRUE(server_->Responds(kPatience));
}

TEST_F(ServerTest, BodiesOfAllSizesComeThroughTheClient) {
  options_.threads = 2;
  Serve(
      "/big", [](const Request& request, Reply reply) { reply({.body = std::string(request.body())}); },
      [](const Request&) { return HeadDecision{.max_body_bytes = 64 << 20}; });
  Start();
  Client client({.timeout = kPatience, .max_answer_bytes = 10 << 20});
  const std::string url = format("http://localhost:{}/big", server_->port());
  for (const size_t size : {0, 1, 16383, 16384, 16385, 262144, 262145, 5'000'000}) {
    std::string body(size, '\0');
    for (size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 7 + i / 256);
    const Result<ClientResponse> answer = client.Post(url, {}, body);
    ASSERT_TRUE(answer.has_value()) << answer.error().message();
    EXPECT_EQ(answer->status, 200);
    EXPECT_TRUE(answer->body == body) << size;
  }
  Await([](const Server::Stats& stats) { return stats.buffered_bytes == 0; });
}

TEST_F(ServerTest, HandlersSeeTheRequestAsItCame) {
  Serve("/look/*", [](const Request& request, Reply reply) {
    std::string all;
    request.ForEachHeader(
        [&](std::string_view name, std::string_view value) { all.append(name).append("=").append(value).append(";"); });
    reply({.body = format("{} {} ? {} from {} tags {} none {} | {}", request.method(), request.path(), request.query(),
                          request.peer(), request.Header("x-TAG").value_or("-"), request.Header("none").value_or("-"),
                          all)});
  });
  Start();
  Peer peer = Connect();
  peer.Send("PUT /look/a%2fb+c?x=%20&y HTTP/1.1\r\nHost: h\r\nX-Tag: 1\r\nX-tag:2  \r\n\r\n");
  EXPECT_EQ(peer.Read().body, "PUT /look/a%2fb+c ? x=%20&y from 127.0.0.1 tags 1, 2 none - | Host=h;X-Tag=1;X-tag=2;");
  peer.Send("GET http://proxy.example/look/1?q HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(peer.Read().body, StartsWith("GET /look/1 ? q from"));
}

TEST_F(ServerTest, HeadGetsTheHeadOnly) {
  Start();
  Peer peer = Connect();
  peer.Send("HEAD /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  const Answer answer = peer.Read(true);
  EXPECT_TRUE(answer.Says("Content-Length: 3"));
  peer.Send(Post("/echo", "next"));
  EXPECT_EQ(peer.Read().body, "next");
}

TEST_F(ServerTest, NoContentHasNeitherLengthNorType) {
  Serve("/none", [](const Request&, Reply reply) { reply({.status = 204, .body = "never sent"}); });
  Start();
  Peer peer = Connect();
  peer.Send(Post("/none", "x") + Post("/echo", "next"));
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.status, 204);
  EXPECT_THAT(answer.head, Not(HasSubstr("Content-")));
  EXPECT_EQ(peer.Read().body, "next");
}

TEST_F(ServerTest, HeadersCannotBeSplitByTheirValues) {
  Serve("/split", [](const Request&, Reply reply) { reply({.headers = {{"X-Echo", "a\r\nX-Evil: b"}}}); });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/split"));
  EXPECT_TRUE(peer.Read().Says("X-Echo: a  X-Evil: b"));
}

TEST_F(ServerTest, ClosesWhenAskedTo) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/echo", "x", "Connection: close\r\n") + Post("/echo", "ignored"));
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.body, "x");
  EXPECT_TRUE(answer.Says("Connection: close"));
  EXPECT_TRUE(peer.Ended());
}

TEST_F(ServerTest, SpeaksHttp10) {
  Start();
  Peer once = Connect();
  once.Send("POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
  const Answer answer = once.Read();
  EXPECT_EQ(answer.body, "hi");
  EXPECT_TRUE(answer.Says("Connection: close"));
  EXPECT_TRUE(once.Ended());

  Peer kept = Connect();
  for (int i = 0; i < 2; ++i) {
    kept.Send("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
    EXPECT_TRUE(kept.Read().Says("Connection: keep-alive"));
  }
}

TEST_F(ServerTest, MalformedRequestsGet400AndTheEnd) {
  Start();
  for (const std::string_view request :
       {"nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /echo HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET /echo HTTP/1.1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost x\r\n\r\n",
        "GET /echo HTTP/1.1\r\n: x\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\na\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 a TLS client hello \r\n\r\n"}) {
    Peer peer = Connect();
    peer.Send(request);
    const Answer answer = peer.Read();
    EXPECT_EQ(answer.status, 400) << request;
    EXPECT_TRUE(answer.Says("Connection: close")) << request;
    EXPECT_FALSE(answer.body.empty()) << request;
    EXPECT_TRUE(peer.Ended()) << request;
  }
}

TEST_F(ServerTest, HeadersAndTrailersTogetherHaveTheLimitOfAHead) {
  Start();
  Peer peer = Connect();
  const std::string long_value(40 << 10, 'a');
  peer.Send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-A: " + long_value +
            "\r\n\r\n0\r\nX-B: " + long_value + "\r\n\r\n");
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.status, 431);
  EXPECT_EQ(answer.body, "header is larger than 64 KiB\n");
  EXPECT_TRUE(peer.Ended());
}

// RFC 9112: what two readers could take for different requests is refused, and the connection ends.
TEST_F(ServerTest, AmbiguousHeadsGet400AndTheEnd) {
  Start();
  const auto f = [this](std::string_view head, std::string_view reason) {
    Peer peer = Connect();
    peer.Send(std::string(head) + "\r\n\r\n" + Get("/echo"));
    const Answer answer = peer.Read();
    EXPECT_EQ(answer.status, 400) << head;
    EXPECT_THAT(answer.body, HasSubstr(reason)) << head;
    EXPECT_TRUE(peer.Ended()) << head;
  };
  f("GET /echo HTTP/1.1\r\nHost: a\r\nHost: b", "two Host headers");
  f("GET /echo HTTP/1.1\r\nHost: a\r\nhost: a", "two Host headers");
  f("GET /echo HTTP/1.0\r\nHost: a\r\nHost: a", "two Host headers");
  f("GET /echo HTTP/1.1\r\nHost: a b", "Host");
  f("GET /echo HTTP/1.1\r\nHost: a, b", "Host");
  f("GET /echo HTTP/1.1\r\nHost: a@b", "Host");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n b", "obs-fold");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n\tb\r\n c", "obs-fold");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX-Folded:\r\n b", "obs-fold");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n ", "obs-fold");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX-Folded:\r\n \r\nX-Next: a", "obs-fold");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 5", "obs-fold");
  f("GET /echo HTTP/1.1\r\n X: a\r\nHost: x", "");
  f("GET /echo HTTP/1.1\r\nHost : x", "");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX\t: a", "");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX: a\rb", "");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX: a\nY: b", "");
  f("GET /echo HTTP/1.1\nHost: x\r\nX: a", "");
  f("GET /echo HTTP/1.1\r\nHost: x\r\nX: a\0b"sv, "");
  f("GET /ec\rho HTTP/1.1\r\nHost: x", "");
  f("GET  /echo HTTP/1.1\r\nHost: x", "");
  f("GET echo HTTP/1.1\r\nHost: x", "target");
  f("GET ftp://x/echo HTTP/1.1\r\nHost: x", "target");
  f("CONNECT x:80 HTTP/1.1\r\nHost: x", "target");
  f("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked", "HTTP/1.0");
  f("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", "");
  f("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +1", "");
  f("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2", "");
  f("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1 1", "");
  f("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:", "");
}

TEST_F(ServerTest, HeadsThatOnlyLookAmbiguousAreServed) {
  Start();
  for (const std::string_view head :
       {"GET /echo HTTP/1.1\r\nHost:",
        "GET /echo HTTP/1.1\r\nHost: [::1]:7001\r\nX-Empty:\r\nX-Blank: \t \r\nX-Last:  a \t",
        "GET http://y:1/echo?x HTTP/1.1\r\nHost: x", "GET /echo HTTP/1.0",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0"}) {
    Peer peer = Connect();
    peer.Send(std::string(head) + "\r\n\r\n");
    EXPECT_EQ(peer.Read().status, 200) << head;
  }
}

TEST_F(ServerTest, RoutesAreMatchedOnThePathAsItCame) {
  Serve("/tenants/{tenant}/echo", [](const Request& request, Reply reply) {
    reply({.body = SegmentBehind("/tenants/", request.path()).value_or("none")});
  });
  Start();
  Peer peer = Connect();
  for (const std::string_view other :
       {"/%65cho", "/tenants%2Fa/echo", "/tenants/a%2fecho", "/tenants/a/%65cho", "//echo", "/./echo", "/echo/"}) {
    peer.Send(Get(other));
    EXPECT_EQ(peer.Read().status, 404) << other;
  }
  peer.Send(Get("/tenants/a%2Fb%3A1/echo"));
  EXPECT_EQ(peer.Read().body, "a/b:1");
}

TEST_F(ServerTest, RequestsBeforeAMalformedOneAreAnswered) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/park/1", "") + "garbage\r\n\r\n");
  NextParked().reply({.body = "fine"});
  EXPECT_EQ(peer.Read().body, "fine");
  EXPECT_EQ(peer.Read().status, 400);
  EXPECT_TRUE(peer.Ended());
}

TEST_F(ServerTest, EmptyLinesBetweenRequestsAreForgiven) {
  Start();
  Peer peer = Connect();
  peer.Send("\r\n" + Post("/echo", "a") + "\r\n\r\n" + Post("/echo", "b"));
  EXPECT_EQ(peer.Read().body, "a");
  EXPECT_EQ(peer.Read().body, "b");
}

TEST_F(ServerTest, LargeHeadersAre431) {
  options_.max_header_bytes = 40'000;
  Start();
  Peer fits = Connect();
  fits.Send(Get("/echo", "X-Long: " + std::string(39'000, 'a') + "\r\n"));
  EXPECT_EQ(fits.Read().status, 200);
  Peer many = Connect();
  std::string headers;
  while (headers.size() < 41'000) headers += "X-Many: 1\r\n";
  many.Send(Get("/echo", headers));
  EXPECT_EQ(many.Read().status, 431);
  EXPECT_TRUE(many.Ended());
  Peer endless = Connect();
  endless.Send("GET /" + std::string(50'000, 'a'));
  EXPECT_EQ(endless.Read().status, 431);
  EXPECT_TRUE(endless.Ended());
}

TEST_F(ServerTest, OtherTransferCodingsAre501) {
  Start();
  for (const std::string_view coding : {"gzip", "gzip, chunked", "identity"}) {
    Peer peer = Connect();
    peer.Send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + std::string(coding) + "\r\n\r\n");
    EXPECT_EQ(peer.Read().status, 501) << coding;
    EXPECT_TRUE(peer.Ended()) << coding;
  }
}

TEST_F(ServerTest, ChunkedBodiesArriveWhole) {
  Start();
  Peer peer = Connect();
  peer.Send(PostChunked("/echo", "5\r\nhello\r\n1;name=value\r\n,\r\n0\r\nX-Trailer: 1\r\n\r\n") +
            Post("/echo", "next"));
  EXPECT_EQ(peer.Read().body, "hello,");
  EXPECT_EQ(peer.Read().body, "next");
  std::string chunks;
  std::string body;
  for (int i = 0; i < 5000; ++i) {
    body.push_back(static_cast<char>('a' + i % 26));
    chunks += "1\r\n" + body.substr(body.size() - 1) + "\r\n";
  }
  peer.Send(PostChunked("/echo", chunks + "0\r\n\r\n"));
  EXPECT_TRUE(peer.Read().body == body);
  peer.Send(PostChunked("/echo", "186a0\r\n" + std::string(100'000, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_EQ(peer.Read().body.size(), 100'000);
  Await([](const Server::Stats& stats) { return stats.buffered_bytes == 0; });
}

TEST_F(ServerTest, RequestsMayComeByteByByte) {
  Start();
  Peer peer = Connect();
  const std::string requests = Post("/echo", "abc") + PostChunked("/echo", "2\r\nde\r\n1\r\nf\r\n0\r\n\r\n") +
                               PostChunked("/echo", "0\r\n\r\n") + Get("/echo");
  for (const char& byte : requests) ASSERT_TRUE(peer.Send({&byte, 1}));
  EXPECT_EQ(peer.Read().body, "abc");
  EXPECT_EQ(peer.Read().body, "def");
  EXPECT_EQ(peer.Read().body, "");
  EXPECT_EQ(peer.Read().status, 200);
}

TEST_F(ServerTest, AFaultyHandlerAnswers500) {
  Serve("/throws", [](const Request&, Reply) { throw std::runtime_error("handle broke"); });
  Serve(
      "/throws/early", [](const Request&, Reply) {},
      [](const Request&) -> HeadDecision { throw std::runtime_error("head broke"); });
  Serve(
      "/throws/too_large", [](const Request&, Reply) {},
      [](const Request&) -> HeadDecision {
        return {.max_body_bytes = 1,
                .too_large = [](uint64_t) -> Response { throw std::runtime_error("too_large broke"); }};
      });
  Serve("/forgets", [](const Request&, Reply) {});
  Start();
  Peer peer = Connect();
  peer.Send(Post("/throws/too_large", "body"));
  EXPECT_EQ(peer.Read().status, 500);
  EXPECT_THAT(log_.Next(), HasSubstr("too_large broke"));
  peer.Send(Post("/throws", "body"));
  EXPECT_EQ(peer.Read().status, 500);
  EXPECT_THAT(log_.Next(), HasSubstr("handle broke"));
  peer.Send(Post("/throws/early", "body"));
  EXPECT_EQ(peer.Read().status, 500);
  EXPECT_THAT(log_.Next(), HasSubstr("head broke"));
  peer.Send(Post("/forgets", "body"));
  EXPECT_EQ(peer.Read().status, 500);
  peer.Send(Post("/echo", "alive"));
  EXPECT_EQ(peer.Read().body, "alive");
}

TEST_F(ServerTest, AllAddressesMeansIpv4AndIpv6) {
  options_.listen = ":0";
  Start();
  Peer v4 = Connect();
  v4.Send(Post("/echo", "v4"));
  EXPECT_EQ(v4.Read().body, "v4");
  const Result<Listeners> has_v6 = Listen("[::1]:0", 1);
  if (!has_v6) GTEST_SKIP() << "no IPv6 here";
  Client v6({.timeout = kPatience});
  const Result<ClientResponse> answer = v6.Post(format("http://[::1]:{}/echo", server_->port()), {}, "v6");
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(answer->body, "v6");
}

TEST_F(ServerTest, APortInUseDoesNotGoUnnoticed) {
  options_.threads = 2;
  Start();
  options_.listen = "127.0.0.1:" + std::to_string(server_->port());
  const Result<std::unique_ptr<Server>> second = Server::Create(options_, router_, log_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), Errc::kUnavailable);
  EXPECT_THAT(second.error().message(), AllOf(HasSubstr(options_.listen), HasSubstr("app.listen")));
}

TEST_F(ServerTest, ThreadsShareTheConnectionsEvenly) {
  options_.threads = 4;
  Serve("/thread", [](const Request&, Reply reply) {
    reply({.body = std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id()))});
  });
  Start();
  std::vector<Peer> peers;
  std::map<std::string, int> threads;
  for (int i = 0; i < 8; ++i) {
    peers.push_back(Connect());
    peers.back().Send(Get("/thread"));
    ++threads[peers.back().Read().body];
  }
  EXPECT_EQ(threads.size(), 4);
  for (const auto& [thread, connections] : threads) EXPECT_EQ(connections, 2);
}

}  // namespace
}  // namespace mi::net
