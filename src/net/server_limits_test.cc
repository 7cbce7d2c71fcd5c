// The limits of a server, and the answers to requests that exceed them.
#include <fcntl.h>
#include <sys/resource.h>

#include "net/testing/limits_fixture.h"

namespace mi::net {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The budget holds one answer of /huge.
class HugeAnswers : public LimitsTest {
 protected:
  static constexpr size_t kHuge = 64 << 20;

  // Returns a peer that does not read the answer that is on its way to it.
  Peer StartWithASilentPeer(milliseconds slow_after) {
    options_.max_buffered_bytes = 100 << 20;
    options_.slow_after = slow_after;
    Serve("/huge", [](const Request&, Reply reply) { reply({.body = std::string(kHuge, 'x')}); });
    Start();
    Peer silent = Connect();
    silent.Send(Get("/huge"));
    Await([](const Server::Stats& stats) { return stats.buffered_bytes >= kHuge; });
    return silent;
  }
};

TEST_F(LimitsTest, IdleConnectionsAreClosed) {
  options_.idle_timeout = milliseconds(30);
  Start();
  Peer silent = Connect();
  Peer once = Connect();
  once.Send(Post("/echo", "x"));
  EXPECT_EQ(once.Read().body, "x");
  EXPECT_TRUE(silent.Ended());
  EXPECT_TRUE(once.Ended());
}

TEST_F(LimitsTest, TheIdleTimeoutCanBeShortenedWhileConnectionsAreOpen) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/echo", "x"));
  EXPECT_EQ(peer.Read().body, "x");
  server_->SetLimits({.max_connections = 10, .idle_timeout = milliseconds(1)});
  EXPECT_TRUE(peer.Ended());
}

TEST_F(LimitsTest, AWaitingRequestIsNotIdle) {
  options_.idle_timeout = milliseconds(5);
  options_.read_timeout = milliseconds(5);
  Start();
  Peer waiting = Connect();
  waiting.Send(Get("/park/1"));
  Parked parked = NextParked();
  Peer idle = Connect();
  EXPECT_TRUE(idle.Ended());  // time has passed
  parked.reply({.body = "at last"});
  EXPECT_EQ(waiting.Read().body, "at last");
}

TEST_F(LimitsTest, SlowRequestsAreEnded) {
  options_.read_timeout = milliseconds(30);
  Start();
  for (const std::string& part : {std::string("GET /ec"), Announce("/echo", 10) + "slow",
                                  PostChunked("/echo", "5\r\nsl"), Announce("/echo", 10, "Expect: 100-continue\r\n")}) {
    Peer peer = Connect();
    peer.Send(part);
    Answer answer = peer.Read();
    if (answer.status == 100) answer = peer.Read();
    EXPECT_EQ(answer.status, 408) << part;
    EXPECT_TRUE(peer.Ended()) << part;
  }
  Await([](const Server::Stats& stats) { return stats.open_connections == 0 && stats.buffered_bytes == 0; });
}

// Single bytes do not extend the time-out of a request.
TEST_F(LimitsTest, ARequestThatArrivesByteByByteTimesOutToo) {
  options_.read_timeout = milliseconds(50);
  Start();
  Peer peer = Connect();
  peer.Send("GET /echo HTTP/1.1\r\n");
  while (peer.Send("X-Still: here\r\n")) {
    pollfd answered{.fd = peer.fd(), .events = POLLIN, .revents = 0};
    if (poll(&answered, 1, 5) == 1) break;
  }
  EXPECT_EQ(peer.Read().status, 408);
}

TEST_F(LimitsTest, ASlowRefusedBodyEndsWithoutASecondAnswer) {
  options_.read_timeout = milliseconds(30);
  Start();
  Peer peer = Connect();
  peer.Send(Announce("/refuse", 10) + "slow");
  EXPECT_EQ(peer.Read().status, 415);
  EXPECT_TRUE(peer.Ended());
}

TEST_F(LimitsTest, APeerThatDoesNotReadIsCutOff) {
  options_.write_timeout = milliseconds(30);
  Serve("/huge", [](const Request&, Reply reply) { reply({.body = std::string(64 << 20, 'x')}); });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/huge"));
  Await([](const Server::Stats& stats) { return stats.open_connections == 1; });
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
}

// Single bytes do not extend the time-out of an answer.
TEST_F(LimitsTest, APeerThatReadsTooSlowlyIsCutOffToo) {
  options_.write_timeout = milliseconds(30);
  Serve("/huge", [](const Request&, Reply reply) { reply({.body = std::string(64 << 20, 'x')}); });
  Start();
  Peer slow = Connect();
  slow.Send(Get("/huge"));
  Peer other = Connect();
  for (;;) {
    char byte = 0;
    ASSERT_EQ(recv(slow.fd(), &byte, 1, 0), 1);
    other.Send(Post("/echo", "x"));
    ASSERT_EQ(other.Read().body, "x");
    if (server_->stats().open_connections == 1) break;
  }
  EXPECT_LT(slow.ReadToEnd().size(), 64 << 20);
}

TEST_F(LimitsTest, OneConnectionTooManyIsAnswered503) {
  options_.max_connections = 2;
  Start();
  Peer first = Connect();
  Peer second = Connect();
  first.Send(Post("/echo", "1"));
  second.Send(Post("/echo", "2"));
  EXPECT_EQ(first.Read().body, "1");
  EXPECT_EQ(second.Read().body, "2");
  Peer third = Connect();
  third.Send(Post("/echo", "3"));
  const Answer answer = third.Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.Says("Retry-After: 5"));
  EXPECT_THAT(answer.body, AllOf(HasSubstr("limit 2"), HasSubstr("receive.max_connections")));
  EXPECT_TRUE(third.Ended());
  EXPECT_EQ(server_->stats().rejected_connections, 1);

  first.Vanish();
  Await([](const Server::Stats& stats) { return stats.open_connections == 1; });
  Peer fourth = Connect();
  fourth.Send(Post("/echo", "4"));
  EXPECT_EQ(fourth.Read().body, "4");
  server_->SetLimits({.max_connections = 3, .idle_timeout = kPatience});
  Peer fifth = Connect();
  fifth.Send(Post("/echo", "5"));
  EXPECT_EQ(fifth.Read().body, "5");
}

TEST_F(LimitsTest, AnotherAddressTakesThePlaceOfAnIdleConnection) {
  options_.max_connections = 3;
  Start();
  Peer busy = Connect();
  busy.Send(Get("/park/1"));
  Parked parked = NextParked();
  std::vector<Peer> idle;
  for (int i = 0; i < 2; ++i) {
    idle.push_back(Connect());
    idle.back().Send(Post("/echo", "x"));
    EXPECT_EQ(idle.back().Read().body, "x");
  }
  Peer same = Connect();
  EXPECT_EQ(same.Read().status, 503);
  Peer other(server_->port(), "127.0.0.2");
  other.Send(Post("/echo", "hello"));
  EXPECT_EQ(other.Read().body, "hello");
  EXPECT_TRUE(idle[0].Ended());
  idle[1].Send(Post("/echo", "still here"));
  EXPECT_EQ(idle[1].Read().body, "still here");
  parked.reply({.body = "done"});
  EXPECT_EQ(busy.Read().body, "done");
}

TEST_F(LimitsTest, BodiesOverTheBudgetAreAnswered503) {
  options_.max_buffered_bytes = 1'200'000;
  options_.slow_after = kPatience;
  Start();
  Peer holder = Connect();
  holder.Send(Announce("/large", 2'000'000) + std::string(600'000, 'x'));
  Peer other = Connect();
  for (int i = 0; i < 100; ++i) {  // meanwhile the bytes arrive
    other.Send(Post("/echo", "x"));
    EXPECT_EQ(other.Read().body, "x");
  }
  other.Send(Post("/large", std::string(600'000, 'y')));
  const Answer answer = other.Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.Says("Retry-After: 1"));
  holder.Vanish();
  Await([](const Server::Stats& stats) { return stats.buffered_bytes == 0; });
  other.Send(Post("/large", std::string(600'000, 'y')));
  EXPECT_EQ(other.Read().body, "600000");
}

// The beginning of a request that waits for its rest counts as well.
TEST_F(LimitsTest, InputOverTheBudgetIsAnswered503) {
  options_.max_buffered_bytes = 1000;  // less than any input takes
  Start();
  for (const std::string& part : {std::string("GET /ec"), std::string("GET /echo HTTP/1.1\r\nHost: x\r\nX"),
                                  PostChunked("/echo", "5\r\nhello\r\n5")}) {
    Peer peer = Connect();
    peer.Send(Get("/park/1") + part);
    Parked parked = NextParked();
    parked.reply({.body = "first"});
    EXPECT_EQ(peer.Read().body, "first") << part;
    const Answer answer = peer.Read();
    EXPECT_EQ(answer.status, 503) << part;
    EXPECT_TRUE(answer.Says("Retry-After: 1"));
    EXPECT_TRUE(answer.Says("Connection: close"));
    EXPECT_TRUE(peer.Ended());
  }
  Peer refused = Connect();
  refused.Send(PostChunked("/refuse", "5\r\nhello\r\n5"));
  EXPECT_EQ(refused.Read().status, 415);
  EXPECT_TRUE(refused.Ended());
  Await([](const Server::Stats& stats) { return stats.open_connections == 0 && stats.buffered_bytes == 0; });
}

TEST_F(LimitsTest, AnAnnouncedBodyCostsOnlyWhatHasCome) {
  Start();
  std::vector<Peer> liars;
  for (int i = 0; i < 50; ++i) {
    liars.push_back(Connect());
    liars.back().Send(Announce("/large", 64 << 20, "Expect: 100-continue\r\n"));
    EXPECT_EQ(liars.back().Read().status, 100);
  }
  Await([](const Server::Stats& stats) { return stats.buffered_bytes <= 50 * (8 << 10); });
}

TEST_F(LimitsTest, BodiesThatAreOnlyAnnouncedTakeNoRoomFromOthers) {
  options_.max_buffered_bytes = 1 << 20;
  Start();
  std::vector<Peer> liars;
  for (int i = 0; i < 50; ++i) {
    liars.push_back(Connect());
    liars.back().Send(Announce("/large", 1'000'000) + "x");
  }
  Peer honest = Connect();
  for (int i = 0; i < 10; ++i) {
    honest.Send(Post("/large", std::string(200'000, 'y')));
    EXPECT_EQ(honest.Read().body, "200000");
  }
}

// Making room for a large answer must not move the body that the handler still looks at.
TEST_F(LimitsTest, ABodyStaysInPlaceWhileItsHandlerRuns) {
  options_.max_buffered_bytes = 1 << 20;
  Serve("/mirror", [](const Request& request, Reply reply) {
    const std::string_view body = request.body();
    reply({.body = std::string(2 << 20, 'x')});
    EXPECT_EQ(body, "0123456789x");
  });
  Start();
  Peer peer = Connect();
  peer.Send(PostChunked("/mirror", "a\r\n0123456789\r\n1"));
  Await([](const Server::Stats& stats) { return stats.buffered_bytes > 0; });
  peer.Send("\r\nx\r\n0\r\n\r\n");  // the block is twice as large as the body now
  EXPECT_EQ(peer.Read().status, 503);
}

TEST_F(LimitsTest, TheSlowestBodiesMakeRoomForOthers) {
  options_.max_buffered_bytes = 4 << 20;
  options_.slow_after = milliseconds(0);
  Start();
  std::vector<Peer> slow;
  for (int i = 0; i < 12; ++i) {
    slow.push_back(Connect());
    slow.back().Send(Announce("/large", 1'000'000) + std::string(500'000, 'x'));
  }
  Peer fast = Connect();
  fast.Send(Post("/large", std::string(1'000'000, 'y')));
  EXPECT_EQ(fast.Read().body, "1000000");
  const Answer answer = slow[0].Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.Says("Retry-After: 1"));
  EXPECT_THAT(answer.body, HasSubstr("receive.max_buffered_bytes"));
  EXPECT_TRUE(slow[0].Ended());
}

TEST_F(LimitsTest, TheAddressThatHoldsMostMakesRoomFirst) {
  options_.max_buffered_bytes = 4 << 20;
  options_.slow_after = milliseconds(0);
  Start();
  const std::string half = Announce("/large", 1'000'000) + std::string(500'000, 'x');
  Peer oldest(server_->port(), "127.0.0.2");
  oldest.Send(half);
  Await([](const Server::Stats& stats) { return stats.buffered_bytes >= 500'000; });
  std::vector<Peer> others;
  for (int i = 0; i < 12; ++i) {
    others.push_back(Connect());
    others.back().Send(half);
  }
  EXPECT_EQ(others[0].Read().status, 503);
  oldest.Send(std::string(500'000, 'x'));
  EXPECT_EQ(oldest.Read().body, "1000000");
}

TEST_F(LimitsTest, TheAddressThatHoldsMostMakesRoomAtOnceButNotForItself) {
  options_.max_buffered_bytes = 4 << 20;
  options_.slow_after = kPatience;
  Start();
  const auto stalled = Announce("/large", 1'000'000) + std::string(500'000, 'x');
  std::vector<Peer> many;
  for (int i = 0; i < 7; ++i) {
    many.push_back(Connect());
    many.back().Send(stalled);
  }
  Await([](const Server::Stats& stats) { return stats.buffered_bytes > 7 * 500'000; });
  Peer same = Connect();
  same.Send(Post("/large", std::string(1'000'000, 'y')));
  EXPECT_EQ(same.Read().status, 503);
  Peer other(server_->port(), "127.0.0.2");
  other.Send(Post("/large", std::string(1'000'000, 'y')));
  EXPECT_EQ(other.Read().body, "1000000");
  EXPECT_EQ(many[0].Read().status, 503);
  EXPECT_GE(server_->stats().given_up, 1);
}

TEST_F(LimitsTest, NobodyMakesRoomForWhatNeverFits) {
  options_.max_buffered_bytes = 4 << 20;
  options_.slow_after = milliseconds(0);
  Serve("/huge", [](const Request&, Reply reply) { reply({.body = std::string(5 << 20, 'x')}); });
  Start();
  Peer slow = Connect();
  slow.Send(Announce("/large", 1'000'000) + std::string(500'000, 'x'));
  Await([](const Server::Stats& stats) { return stats.buffered_bytes >= 500'000; });
  Peer greedy = Connect();
  greedy.Send(Get("/huge"));
  EXPECT_EQ(greedy.Read().status, 503);
  slow.Send(std::string(500'000, 'x'));
  EXPECT_EQ(slow.Read().body, "1000000");
  EXPECT_EQ(server_->stats().given_up, 0);
}

TEST_F(HugeAnswers, CountWhileTheyWaitForTheirReaders) {
  Peer silent = StartWithASilentPeer(kPatience);
  Peer other = Connect();
  other.Send(Get("/huge"));
  const Answer answer = other.Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.Says("Retry-After: 1"));
  EXPECT_THAT(answer.body, HasSubstr("receive.max_buffered_bytes"));
  other.Send(Post("/echo", "short answers are still sent"));
  EXPECT_EQ(other.Read().body, "short answers are still sent");
  EXPECT_EQ(silent.Read().body.size(), kHuge);
  Await([](const Server::Stats& stats) { return stats.buffered_bytes == 0; });
  other.Send(Get("/huge"));
  EXPECT_EQ(other.Read().body.size(), kHuge);
}

TEST_F(HugeAnswers, ThatNobodyReadsMakeRoomForOthers) {
  Peer silent = StartWithASilentPeer(milliseconds(0));
  Peer other = Connect();
  other.Send(Get("/huge"));
  EXPECT_EQ(other.Read().body.size(), kHuge);
  EXPECT_LT(silent.ReadToEnd().size(), kHuge);
}

TEST_F(LimitsTest, APeerThatDoesNotReadIsGivenABoundedNumberOfAnswers) {
  std::atomic<int> made = 0;
  Serve("/long", [&](const Request&, Reply reply) {
    ++made;
    reply({.body = std::string(100'000, 'x')});
  });
  Start();
  Peer peer = Connect();
  std::string requests = Get("/park/1");
  for (int i = 0; i < 50; ++i) requests += Get("/long");
  peer.Send(requests);
  Parked parked = NextParked();
  Peer other = Connect();
  for (int i = 0; i < 100; ++i) {
    other.Send(Post("/echo", "x"));
    EXPECT_EQ(other.Read().body, "x");
  }
  EXPECT_LE(made, 3);  // 256 KiB wait behind the first answer
  parked.reply({.body = "first"});
  EXPECT_EQ(peer.Read().body, "first");
  for (int i = 0; i < 50; ++i) ASSERT_EQ(peer.Read().body.size(), 100'000);
}

TEST_F(LimitsTest, LargeAnswersOfAConnectionAreMadeOneAfterAnother) {
  Serve(
      "/report/*",
      [this](const Request& request, Reply reply) {
        EXPECT_TRUE(parked_.TryPush(Parked{std::string(request.path()), "", std::move(reply)}));
      },
      [](const Request&) { return HeadDecision{.large_answer = true}; });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1") + Get("/report/2") + Get("/report/3") + Get("/park/4"));
  Parked first = NextParked();
  Parked second = NextParked();
  EXPECT_EQ(second.path, "/report/2");
  first.reply({.body = "1"});
  EXPECT_EQ(peer.Read().body, "1");
  EXPECT_EQ(server_->stats().in_flight, 1);
  second.reply({.body = "2"});
  EXPECT_EQ(peer.Read().body, "2");
  Parked third = NextParked();
  EXPECT_EQ(third.path, "/report/3");
  EXPECT_EQ(server_->stats().in_flight, 1);
  third.reply({.body = "3"});
  NextParked().reply({.body = "4"});
  EXPECT_EQ(peer.Read().body, "3");
  EXPECT_EQ(peer.Read().body, "4");
}

TEST_F(LimitsTest, HalfClosedPeersGetTheirAnswer) {
  Start();
  Peer peer = Connect();
  peer.Send(Post("/park/1", "x") + Post("/echo", "second"));
  peer.SayEnd();
  NextParked().reply({.body = "first"});
  EXPECT_EQ(peer.Read().body, "first");
  EXPECT_EQ(peer.Read().body, "second");
  EXPECT_TRUE(peer.Ended());
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
}

TEST_F(LimitsTest, ThousandsOfIdleConnectionsHoldNoBuffersAndDelayNobody) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const size_t count = std::min<size_t>(10'000, files.rlim_cur / 2 - 100);
  options_.threads = 2;
  Start();
  std::vector<Peer> peers;
  for (size_t i = 0; i < count; ++i) {
    peers.push_back(Connect());
    peers.back().Send(Post("/echo", std::string(20'000, 'x')));
    ASSERT_EQ(peers.back().Read().body.size(), 20'000);
  }
  EXPECT_EQ(server_->stats().open_connections, count);
  Await([](const Server::Stats& stats) { return stats.buffered_bytes == 0; });
  for (const size_t i : {size_t{0}, count / 2, count - 1}) {
    peers[i].Send(Post("/echo", "still here"));
    EXPECT_EQ(peers[i].Read().body, "still here");
  }
}

#ifndef MI_SANITIZES_ADDRESS  // UBSan needs a pipe to look at the type of an object, and reports an error without one
// Takes all descriptors that are free.
std::vector<FileDescriptor> TakeAllDescriptors() {
  std::vector<FileDescriptor> all;
  for (;;) {
    FileDescriptor one(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (one.get() < 0) return all;
    all.push_back(std::move(one));
  }
}

TEST_F(LimitsTest, WithoutFreeDescriptorsPeersAreAnswered503) {
  Start();
  Peer before = Connect();
  before.Send(Get("/park/1"));
  Parked parked = NextParked();
  FileDescriptor unconnected[2] = {FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                                   FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  {
    const std::vector<FileDescriptor> all = TakeAllDescriptors();
    std::vector<Peer> all_late;  // none may free its descriptor
    for (FileDescriptor& socket : unconnected) {
      Peer& late = all_late.emplace_back(std::move(socket));
      late.Connect(server_->port());
      const Answer answer = late.Read();
      EXPECT_EQ(answer.status, 503);
      EXPECT_TRUE(answer.Says("Connection: close"));
      EXPECT_TRUE(late.Ended());
    }
    EXPECT_THAT(log_.Next(), HasSubstr("Too many open files"));
    parked.reply({.body = "as ever"});
    EXPECT_EQ(before.Read().body, "as ever");
  }
  Peer later = Connect();
  later.Send(Post("/echo", "later"));
  EXPECT_EQ(later.Read().body, "later");
}

TEST_F(LimitsTest, WithoutFreeDescriptorsIdleConnectionsAreClosed) {
  options_.slow_after = milliseconds(0);
  Start();
  Peer idle = Connect();
  idle.Send(Post("/echo", "x"));
  EXPECT_EQ(idle.Read().body, "x");
  Peer second = Connect();  // accept() fails without a descriptor even if nobody waits: then this one is closed
  second.Send(Post("/echo", "x"));
  EXPECT_EQ(second.Read().body, "x");
  FileDescriptor unconnected(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::vector<FileDescriptor> all = TakeAllDescriptors();
  Peer late(std::move(unconnected));
  late.Connect(server_->port());
  late.Send(Post("/echo", "late"));
  EXPECT_EQ(late.Read().body, "late");
  EXPECT_TRUE(idle.Ended());
}
#endif

}  // namespace
}  // namespace mi::net
