// Requests that overlap: pipelining, answers from other threads, streams, and the end of the server.
#include <future>
#include <latch>
#include <memory>

#include "net/testing/server_fixture.h"

namespace mi::net {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerTest, PipelinedRequestsInOneSegmentAreAnsweredInOrder) {
  Start();
  Peer peer = Connect();
  std::string requests;
  for (int i = 0; i < 500; ++i) {
    const std::string body = std::to_string(i);
    requests +=
        i % 3 == 0 ? PostChunked("/echo", format("{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body)) : Post("/echo", body);
  }
  peer.Send(requests);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(peer.Read().body, std::to_string(i));
}

TEST_F(ServerTest, PipelinedBodiesKeepTheirBorders) {
  Serve("/size", [](const Request& request, Reply reply) {
    const std::string_view body = request.body();
    const bool pure = body.find_first_not_of(body.front()) == std::string_view::npos;
    reply({.body = format("{}{}{}", body.size(), body.front(), pure ? "" : " mixed")});
  });
  Start();
  Peer peer = Connect();
  std::thread sender([&] {
    for (int i = 0; i < 200; ++i)
      peer.Send(Post("/size", std::string(90'000 + i * 7, static_cast<char>('a' + i % 26))));
  });
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(peer.Read().body, std::to_string(90'000 + i * 7) + static_cast<char>('a' + i % 26));
  }
  sender.join();
}

TEST_F(ServerTest, AnswersMadeOutOfOrderAreSentInOrder) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1") + Get("/park/2") + Post("/echo", "3") + Get("/nowhere") + Get("/park/5"));
  Parked first = NextParked();
  Parked second = NextParked();
  Parked fifth = NextParked();
  fifth.reply({.body = "five"});
  second.reply({.body = "two"});
  first.reply({.body = "one"});
  EXPECT_EQ(peer.Read().body, "one");
  EXPECT_EQ(peer.Read().body, "two");
  EXPECT_EQ(peer.Read().body, "3");
  EXPECT_EQ(peer.Read().status, 404);
  EXPECT_EQ(peer.Read().body, "five");
}

// The number of requests that one connection may have waiting is bounded; the rest stays in its sockets.
TEST_F(ServerTest, FloodsOfPipelinedRequestsWaitTheirTurn) {
  Start();
  Peer peer = Connect();
  std::string requests;
  for (int i = 0; i < 300; ++i) requests += Get("/park/" + std::to_string(i));
  peer.Send(requests);
  for (int i = 0; i < 300; ++i) {
    Parked parked = NextParked();
    EXPECT_EQ(parked.path, "/park/" + std::to_string(i));
    EXPECT_LE(server_->stats().in_flight, 64);
    parked.reply({.body = std::to_string(i)});
    ASSERT_EQ(peer.Read().body, std::to_string(i));
  }
}

// A client gives up by closing its connection, gently or not. The connection reads meanwhile (keep-alive), or it does
// not (the last request, or HTTP/1.0).
TEST_F(ServerTest, TellsTheHandlerThatNobodyWaitsForTheAnswer) {
  std::shared_ptr<std::atomic<bool>> abandoned;
  Serve("/long", handlers_[1]->handle(), [&](const Request&) {
    HeadDecision decision;
    decision.abandoned = abandoned = std::make_shared<std::atomic<bool>>(false);
    return decision;
  });
  Start();
  for (const std::string& request :
       {Get("/long"), Get("/long", "Connection: close\r\n"), std::string("GET /long HTTP/1.0\r\n\r\n")}) {
    for (const auto leave : {&Peer::SayEnd, &Peer::Vanish}) {
      Peer peer = Connect();
      peer.Send(request);
      Parked parked = NextParked();
      EXPECT_FALSE(*abandoned) << request;
      (peer.*leave)();
      Await([&](const Server::Stats&) { return abandoned->load(); });
      parked.reply({.body = "nobody reads this"});
    }
  }
}

TEST_F(ServerTest, AnAnsweredRequestIsNotAbandoned) {
  const auto abandoned = std::make_shared<std::atomic<bool>>(false);
  Serve("/long", handlers_[0]->handle(), [&](const Request&) {
    HeadDecision decision;
    decision.abandoned = abandoned;
    return decision;
  });
  Start();
  {
    Peer peer = Connect();
    peer.Send(Get("/long"));
    EXPECT_EQ(peer.Read().status, 200);
  }
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
  EXPECT_FALSE(*abandoned);
}

TEST_F(ServerTest, RepliesMayComeFromAnyThreadAtAnyTime) {
  options_.threads = 2;
  Start();
  constexpr int kPeers = 8;
  constexpr int kRounds = 50;
  std::vector<std::thread> answerers;
  for (int i = 0; i < 3; ++i) {
    answerers.emplace_back([this] {
      while (std::optional<Parked> parked = parked_.Pop()) parked->reply({.body = parked->path + parked->body});
    });
  }
  std::vector<std::thread> senders;
  for (int i = 0; i < kPeers; ++i) {
    senders.emplace_back([this, i] {
      Peer peer = Connect();
      for (int round = 0; round < kRounds; ++round) {
        const std::string path = format("/park/{}.{}", i, round);
        peer.Send(Post(path, "a") + Post(path, "b"));
        EXPECT_EQ(peer.Read().body, path + "a");
        EXPECT_EQ(peer.Read().body, path + "b");
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  parked_.Close();
  for (std::thread& answerer : answerers) answerer.join();
  EXPECT_EQ(server_->stats().in_flight, 0);
}

TEST_F(ServerTest, OneHandlerMayAnswerForAnotherConnection) {
  std::optional<Reply> kept;
  Serve("/keep", [&](const Request&, Reply reply) { kept.emplace(std::move(reply)); });
  Serve("/release", [&](const Request&, Reply reply) {
    (*kept)({.body = "kept"});
    kept.reset();
    reply({.body = "released"});
  });
  Start();
  Peer first = Connect();
  first.Send(Get("/keep"));
  Await([](const Server::Stats& stats) { return stats.in_flight == 1; });
  Peer second = Connect();
  second.Send(Get("/release"));
  EXPECT_EQ(second.Read().body, "released");
  EXPECT_EQ(first.Read().body, "kept");
}

TEST_F(ServerTest, AReplyAfterThePeerHasGoneIsNoOp) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1"));
  Parked parked = NextParked();
  peer.Vanish();
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
  EXPECT_EQ(server_->stats().in_flight, 0);
  parked.reply({.body = "nobody listens"});
  Peer other = Connect();
  other.Send(Post("/echo", "alive"));
  EXPECT_EQ(other.Read().body, "alive");
}

TEST_F(ServerTest, AReplyAfterTheServerHasGoneIsNoOp) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1") + Get("/park/2"));
  Parked answered = NextParked();
  const Parked forgotten = NextParked();
  server_.reset();
  answered.reply({.body = "too late"});
  EXPECT_TRUE(peer.Ended());
}

TEST_F(ServerTest, ADestroyedReplyAnswers500FromAnyThread) {
  Start();
  Peer peer = Connect();
  peer.Send(Get("/park/1"));
  {
    const Parked forgotten = NextParked();
  }
  EXPECT_EQ(peer.Read().status, 500);
}

// An answer of `count` chunks of `size` bytes: chunk i consists of the i-th letter.
Response Stream(int count, size_t size, std::function<void(int)> on_chunk = {}) {
  return {.next_chunk = [=, i = 0](std::string& chunk) mutable {
    if (on_chunk) on_chunk(i);
    if (i < count) chunk.assign(size, static_cast<char>('a' + i++ % 26));
  }};
}

TEST_F(ServerTest, StreamsComeChunkAfterChunk) {
  std::atomic<bool> computed_on_io_thread = false;
  Serve("/stream", [&](const Request&, Reply reply) {
    const std::thread::id io = std::this_thread::get_id();
    reply(Stream(100, 10'000, [&, io](int) { computed_on_io_thread = std::this_thread::get_id() == io; }));
  });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/stream") + Post("/echo", "next") + "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n" +
            Post("/echo", "last"));
  const Answer answer = peer.Read();
  EXPECT_TRUE(answer.Says("Transfer-Encoding: chunked"));
  EXPECT_EQ(answer.body.size(), 1'000'000);
  EXPECT_EQ(answer.body[10'000], 'b');
  EXPECT_FALSE(computed_on_io_thread);
  EXPECT_EQ(peer.Read().body, "next");
  EXPECT_TRUE(peer.Read(true).Says("Transfer-Encoding: chunked"));
  EXPECT_EQ(peer.Read().body, "last");
}

// What a stream is made from may be large.
TEST_F(ServerTest, AStreamThatNobodyReadsIsDestroyedByAWorker) {
  std::promise<std::thread::id> destroyed;
  std::thread::id io;
  Serve("/stream", [&](const Request&, Reply reply) {
    io = std::this_thread::get_id();
    const std::shared_ptr<int> source(new int, [&destroyed](const int* made) {
      delete made;
      destroyed.set_value(std::this_thread::get_id());
    });
    reply({.next_chunk = [source](std::string& chunk) { chunk.assign(1 << 20, 'x'); }});
  });
  Start();
  Peer peer = Connect();
  peer.Send("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  peer.Read(true);
  EXPECT_NE(destroyed.get_future().get(), io);
}

TEST_F(ServerTest, AnEmptyStreamIsAnEmptyBody) {
  Serve("/stream", [](const Request&, Reply reply) { reply(Stream(0, 0)); });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/stream") + Post("/echo", "next"));
  EXPECT_EQ(peer.Read().body, "");
  EXPECT_EQ(peer.Read().body, "next");
}

TEST_F(ServerTest, Http10GetsAStreamUntilTheEnd) {
  Serve("/stream", [](const Request&, Reply reply) { reply(Stream(3, 2)); });
  Start();
  Peer peer = Connect();
  peer.Send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const Answer answer = peer.Read();
  EXPECT_TRUE(answer.Says("Connection: close"));
  EXPECT_EQ(answer.body, "aabbcc");
}

TEST_F(ServerTest, AStreamThatBreaksOffIsCutNotEnded) {
  Serve("/stream", [](const Request&, Reply reply) {
    reply(Stream(10, 2, [](int i) {
      if (i == 2) throw std::runtime_error("lost the rest");
    }));
  });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/stream"));
  EXPECT_EQ(peer.Read().body, "aabb<cut>");
  EXPECT_THAT(log_.Next(), HasSubstr("lost the rest"));
}

TEST_F(ServerTest, AStreamIsComputedNoFasterThanItIsRead) {
  std::atomic<int> computed = 0;
  Serve("/stream", [&](const Request&, Reply reply) { reply(Stream(2000, 100'000, [&](int i) { computed = i; })); });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/stream"));
  // Others are served in the meantime, and by then the stream has filled what it may.
  Peer other = Connect();
  for (int i = 0; i < 1000; ++i) {
    other.Send(Post("/echo", "x"));
    ASSERT_EQ(other.Read().body, "x");
  }
  EXPECT_LT(computed, 500);
  EXPECT_EQ(peer.Read().body.size(), 200'000'000);
}

TEST_F(ServerTest, ALongComputationHoldsUpNobody) {
  std::latch finish(1);
  Serve("/stream", [&](const Request&, Reply reply) {
    reply(Stream(1, 1, [&](int i) {
      if (i == 0) finish.wait();
    }));
  });
  Start();
  Peer patient = Connect();
  patient.Send(Get("/stream"));
  Peer other = Connect();
  other.Send(Post("/echo", "x"));
  EXPECT_EQ(other.Read().body, "x");
  finish.count_down();
  EXPECT_EQ(patient.Read().body, "a");
}

TEST_F(ServerTest, AStreamEndsWithItsPeer) {
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = held;
  std::latch asked(1);
  Serve("/stream", [&](const Request&, Reply reply) {
    reply(Stream(1'000'000, 100'000, [&asked, held = std::move(held)](int i) {
      if (i == 0) asked.count_down();
    }));
  });
  Start();
  Peer peer = Connect();
  peer.Send(Get("/stream"));
  asked.wait();
  peer.Vanish();
  Await([&](const Server::Stats& stats) { return stats.open_connections == 0 && watch.expired(); });
}

TEST_F(ServerTest, DrainAnswersWhatIsInFlightAndClosesTheRest) {
  Start();
  Peer idle = Connect();
  idle.Send(Post("/echo", "x"));
  EXPECT_EQ(idle.Read().body, "x");
  Peer waiting = Connect();
  waiting.Send(Get("/park/1"));
  Parked parked = NextParked();
  Peer arriving = Connect();
  arriving.Send(Post("/echo", "half of it").substr(0, 60));
  Await([](const Server::Stats& stats) { return stats.open_connections == 3; });
  std::thread drain([this] { server_->Drain(kPatience); });

  EXPECT_TRUE(idle.Ended());  // being the oldest it is told last
  arriving.Send(Post("/echo", "half of it").substr(60));
  const Answer whole = arriving.Read();
  EXPECT_EQ(whole.body, "half of it");
  EXPECT_TRUE(whole.Says("Connection: close"));
  EXPECT_TRUE(arriving.Ended());
  parked.reply({.body = "in time"});
  const Answer answer = waiting.Read();
  EXPECT_EQ(answer.body, "in time");
  EXPECT_TRUE(answer.Says("Connection: close"));
  EXPECT_TRUE(waiting.Ended());
  arriving.Vanish();
  waiting.Vanish();
  drain.join();
  EXPECT_EQ(server_->stats().open_connections, 0);
  const FileDescriptor late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server_->port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(connect(late.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

TEST_F(ServerTest, DrainAnswersEveryRequestThatHasArrived) {
  options_.threads = 3;
  Start();
  std::vector<Peer> peers;
  for (int i = 0; i < 50; ++i) {
    peers.push_back(Connect());
    peers.back().Send(Post("/echo", std::to_string(i)));
  }
  std::thread drain([this] { server_->Drain(kPatience); });
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(peers[i].Read().body, std::to_string(i));
    EXPECT_TRUE(peers[i].Ended());
    peers[i].Vanish();
  }
  drain.join();
}

TEST_F(ServerTest, DrainCutsWhatIsLeftAtTheDeadline) {
  Start();
  Peer waiting = Connect();
  waiting.Send(Get("/park/1"));
  Parked parked = NextParked();
  server_->Drain(std::chrono::milliseconds(20));
  EXPECT_EQ(server_->stats().open_connections, 0);
  EXPECT_TRUE(waiting.Ended());
  parked.reply({.body = "too late"});
}

TEST_F(ServerTest, ManyPeersComeAndGo) {
  options_.threads = 2;
  Start();
  std::vector<std::thread> peers;
  for (int i = 0; i < 4; ++i) {
    peers.emplace_back([this, i] {
      for (int round = 0; round < 50; ++round) {
        Peer peer = Connect();
        peer.Send(Post("/echo", "x") + Post("/echo", "half").substr(0, 20 + round));
        EXPECT_EQ(peer.Read().body, "x");
        if ((round + i) % 2 == 0) peer.Vanish();
      }
    });
  }
  for (std::thread& peer : peers) peer.join();
  Await([](const Server::Stats& stats) { return stats.open_connections == 0 && stats.buffered_bytes == 0; });
}

}  // namespace
}  // namespace mi::net
