// Requests that are refused at their head or in their body, and what becomes of the rest of them.
#include "net/testing/limits_fixture.h"

namespace mi::net {
namespace {

class RefusalTest : public LimitsTest {};

TEST_F(RefusalTest, ARefusedBodyIsReadAndDropped) {
  Start();
  Peer peer = Connect();
  for (int i = 0; i < 2; ++i) {
    peer.Send(Post("/refuse", std::string(1'000'000, 'x')));
    EXPECT_EQ(peer.Read().status, 415);
    peer.Send(PostChunked("/refuse", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
    EXPECT_EQ(peer.Read().status, 415);
    peer.Send(Post("/refuse", "") + Post("/nowhere", "abc") + Post("/echo", "next"));
    EXPECT_EQ(peer.Read().status, 415);
    EXPECT_EQ(peer.Read().status, 404);
    EXPECT_EQ(peer.Read().body, "next");
  }
}

TEST_F(RefusalTest, TheAnswerToARefusedBodyComesAtOnce) {
  Start();
  Peer peer = Connect();
  peer.Send(Announce("/refuse", 10));
  EXPECT_EQ(peer.Read().status, 415);
  peer.Send("0123456789" + Post("/echo", "next"));
  EXPECT_EQ(peer.Read().body, "next");
}

TEST_F(RefusalTest, ASenderOfFarTooMuchStillReadsTheAnswer) {
  options_.max_discarded_bytes = 10'000'000;
  Start();
  Peer peer = Connect();
  peer.Send(Announce("/refuse", 20'000'000));
  peer.Send(std::string(3'000'000, 'x'));
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.status, 415);
  EXPECT_TRUE(answer.Says("Connection: close"));
  EXPECT_TRUE(peer.Ended());
}

TEST_F(RefusalTest, AnEndlessRefusedBodyIsCutOff) {
  options_.max_discarded_bytes = 100'000;
  Start();
  Peer peer = Connect();
  peer.Send(PostChunked("/refuse", ""));
  EXPECT_EQ(peer.Read().status, 415);
  const std::string chunk = "2710\r\n" + std::string(10'000, 'x') + "\r\n";
  while (peer.Send(chunk)) {
  }
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
}

TEST_F(RefusalTest, TheAnswerToATooLargeBodyNamesItsSize) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/small", std::string(100, 'x')));
  EXPECT_EQ(peer.Read().status, 200);
  peer.Send(Post("/small", std::string(101, 'x')));
  EXPECT_EQ(peer.Read().body, "101 are too many\n");
  peer.Send(
      PostChunked("/small", "40\r\n" + std::string(64, 'x') + "\r\n25\r\n" + std::string(37, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_EQ(peer.Read().body, "101 are too many\n");
  peer.Send(Post("/park/default", std::string((1 << 20) + 1, 'x')));
  EXPECT_EQ(peer.Read().status, 413);
  peer.Send(Post("/echo", "next"));
  EXPECT_EQ(peer.Read().body, "next");
}

TEST_F(RefusalTest, ContinueIsSentAfterTheHeadIsAccepted) {
  Start();
  Peer peer = Connect();
  for (int i = 0; i < 2; ++i) {
    peer.Send(Announce("/echo", 5, "Expect: 100-Continue\r\n"));
    EXPECT_EQ(peer.Read().status, 100);
    peer.Send("hello");
    EXPECT_EQ(peer.Read().body, "hello");
  }
}

TEST_F(RefusalTest, ContinueIsNotSentIfTheBodyHasArrived) {
  Start();
  Peer peer = Connect();
  peer.Send(Announce("/echo", 5, "Expect: 100-continue\r\n") + "hello");
  EXPECT_EQ(peer.Read().body, "hello");
}

TEST_F(RefusalTest, ContinueWaitsForEarlierAnswers) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1") + Announce("/echo", 5, "Expect: 100-continue\r\n"));
  NextParked().reply({.body = "first"});
  EXPECT_EQ(peer.Read().body, "first");
  EXPECT_EQ(peer.Read().status, 100);
  peer.Send("hello");
  EXPECT_EQ(peer.Read().body, "hello");
}

TEST_F(RefusalTest, ContinueIsNotSentToARefusedRequest) {
  Start();
  const auto refused = [&](std::string_view request, int status) {
    Peer peer = Connect();
    peer.Send(request);
    const Answer answer = peer.Read();
    EXPECT_EQ(answer.status, status);
    EXPECT_TRUE(answer.Says("Connection: close"));  // whether the body follows cannot be known
    EXPECT_TRUE(peer.Ended());
  };
  refused(Announce("/refuse", 5, "Expect: 100-continue\r\n"), 415);
  refused(Announce("/small", 101, "Expect: 100-continue\r\n"), 400);
}

TEST_F(RefusalTest, OtherExpectationsAre417) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/echo", "abc", "Expect: a-miracle\r\n") + Post("/echo", "next"));
  EXPECT_EQ(peer.Read().status, 417);
  EXPECT_EQ(peer.Read().body, "next");
}

TEST_F(RefusalTest, TruncatedRequestsGet400) {
  Start();
  for (const std::string& request :
       {Announce("/echo", 10) + "only", PostChunked("/echo", "a\r\nonly"), PostChunked("/echo", "4\r\nonly\r\n"),
        std::string("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Le"), std::string("P")}) {
    Peer peer = Connect();
    peer.Send(request);
    peer.SayEnd();
    EXPECT_EQ(peer.Read().status, 400) << request;
    EXPECT_TRUE(peer.Ended()) << request;
  }
  Await([](const Server::Stats& stats) { return stats.open_connections == 0 && stats.buffered_bytes == 0; });
}

// The bytes after the declared length are the next request, whatever the sender meant.
TEST_F(RefusalTest, AContentLengthThatIsTooSmallSplitsTheBody) {
  Start();
  Peer peer = Connect();
  peer.Send(Announce("/echo", 3) + "abcdef\r\n\r\n");
  EXPECT_EQ(peer.Read().body, "abc");
  EXPECT_EQ(peer.Read().status, 400);
  EXPECT_TRUE(peer.Ended());
}

}  // namespace
}  // namespace mi::net
