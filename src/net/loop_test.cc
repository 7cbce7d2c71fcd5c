#include "net/loop.h"

#include <future>
#include <memory>
#include <vector>

#include "base/format.h"
#include "net/server_state.h"
#include "net/testing/server_fixture.h"

namespace mi::net {
namespace {

// Two threads without a Server, so that they can be drained one at a time.
class LoopTest : public ServerTest {
 protected:
  LoopTest() : state_(options_, router_, log_) {
    Result<Listeners> listeners = Listen(options_.listen, 2);
    port_ = listeners->port;
    for (FileDescriptor& socket : listeners->sockets) {
      loops_.push_back(std::make_unique<Loop>(state_, std::move(socket)));
    }
    for (const auto& loop : loops_) loop->Start(loops_);
  }
  ~LoopTest() override {
    for (const auto& loop : loops_) loop->Stop();
  }
  // Blocks the thread of a loop until the promise is fulfilled.
  static std::promise<void> Hold(Loop& loop) {
    std::promise<void> go_on;
    loop.mailbox()->Post([held = go_on.get_future().share()](Loop&) { held.wait(); });
    return go_on;
  }

  ServerState state_;
  uint16_t port_ = 0;
  std::vector<std::unique_ptr<Loop>> loops_;
};

// A loop that accepts hands a connection to another loop, which may be draining when the connection arrives.
TEST_F(LoopTest, AClosedConnectionMayBeHandedToALoopThatDrains) {
  loops_[0]->Drain();
  std::promise<void> go_on = Hold(*loops_[1]);
  Peer first(port_);  // stays where it is accepted, so that the others go to the empty loop
  for (int i = 0; i < 20; ++i) Peer(port_).SayEnd();
  go_on.set_value();
  first.Send(Post("/echo", "x"));
  EXPECT_EQ(first.Read().body, "x");
  while (state_.open_connections > 1) std::this_thread::yield();
}

TEST_F(LoopTest, ALoopThatDrainsAnswersWhatCameWithAConnection) {
  loops_[0]->Drain();
  std::promise<void> go_on = Hold(*loops_[1]);
  Peer first(port_);
  Peer second(port_);
  second.Send(Post("/echo", "just in time"));
  go_on.set_value();
  EXPECT_EQ(second.Read().body, "just in time");
  EXPECT_TRUE(second.Ended());
}

TEST_F(LoopTest, AddressesThatAskInTurnCauseABoundedNumberOfSearches) {
  using std::chrono::steady_clock;
  ASSERT_TRUE(state_.budget.TryTake(state_.budget.limit()));
  const auto begun = steady_clock::now();
  std::promise<void> asked;
  loops_[0]->mailbox()->Post([&asked](Loop& loop) {
    for (int i = 0; i < 100'000; ++i) loop.MakeRoom(1, format("127.0.0.{}", 2 + i % 3));
    asked.set_value();
  });
  asked.get_future().wait();
  const auto pauses = (steady_clock::now() - begun) / std::chrono::milliseconds(100);
  const uint64_t of_sweeps = 4 + 2 * static_cast<uint64_t>(pauses);
  EXPECT_LE(state_.room_searches, of_sweeps + 2 * static_cast<uint64_t>(pauses + 1));
  state_.budget.GiveBack(state_.budget.limit());
}

// A connection whose request waits for its handler gives way to nobody.
TEST_F(LoopTest, ConnectionsForWhichThereIsNoPlaceCauseABoundedNumberOfSearches) {
  using std::chrono::steady_clock;
  std::vector<Peer> busy;
  for (int i = 0; i < 4; ++i) {
    busy.emplace_back(port_).Send(Post("/park/x", "x"));
    while (state_.in_flight <= static_cast<uint64_t>(i)) std::this_thread::yield();
  }
  state_.max_connections = 4;
  const auto begun = steady_clock::now();
  for (int i = 0; i < 500; ++i) {
    Peer refused(port_, format("127.0.0.{}", 2 + i % 3).c_str());
    EXPECT_EQ(refused.Read().status, 503);
  }
  const auto pauses = (steady_clock::now() - begun) / std::chrono::milliseconds(100);
  EXPECT_LE(state_.place_searches, loops_.size() * 2 * static_cast<uint64_t>(pauses + 1));
}

}  // namespace
}  // namespace mi::net
