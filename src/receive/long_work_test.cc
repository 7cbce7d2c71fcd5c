#include "receive/long_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/mutex.h"

namespace mi::receive {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// One thread, whose first job waits until Release(): what is added meanwhile waits.
class LongWorkTest : public ::testing::Test {
 protected:
  void Start(LongWorkOptions options = {}) {
    options.threads = 1;
    work_ = std::make_unique<LongWork>(options);
    work_->Add("first", [this](const Status&) {
      begun_.set_value();
      released_.get_future().wait();
    });
    begun_.get_future().wait();
  }
  void Add(std::string_view peer, std::string name) EXCLUDES(mutex_) {
    ++added_;
    work_->Add(peer, [this, name = std::move(name)](const Status& run) {
      MutexLock lock(mutex_);
      outcomes_.push_back(run ? name : format("{}: {}", name, ToString(run.error().code())));
      if (!run) refusal_ = run.error().message();
      changed_.NotifyAll();
    });
  }
  // Waits until the jobs that were added are done.
  void Release() EXCLUDES(mutex_) {
    released_.set_value();
    MutexLock lock(mutex_);
    while (outcomes_.size() < added_) changed_.Wait(mutex_);
  }
  std::vector<std::string> outcomes() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return outcomes_;
  }
  std::string refusal() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return refusal_;
  }

  size_t added_ = 0;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> outcomes_ GUARDED_BY(mutex_);
  std::string refusal_ GUARDED_BY(mutex_);  // the last one
  std::promise<void> begun_;
  std::promise<void> released_;
  std::unique_ptr<LongWork> work_;
};

TEST_F(LongWorkTest, TakesAJobOfEachPeerInTurn) {
  Start();
  for (const char* job : {"a1", "a2", "a3", "a4"}) Add("a", job);
  for (const char* job : {"b1", "b2"}) Add("b", job);
  Add("c", "c1");
  Release();
  EXPECT_THAT(outcomes(), ElementsAre("a1", "b1", "c1", "a2", "b2", "a3", "a4"));
}

TEST_F(LongWorkTest, RefusesAtOnceWhatHasNoRoomAndKeepsRoomForOthers) {
  Start({.max_waiting = 5, .max_waiting_per_peer = 2});
  for (const char* job : {"a1", "a2", "a3"}) Add("a", job);
  EXPECT_THAT(outcomes(), ElementsAre("a3: overloaded"));
  EXPECT_EQ(refusal(), "2 large requests of this sender wait to be read already");
  Add("b", "b1");
  Add("c", "c1");
  Release();
  EXPECT_THAT(outcomes(), UnorderedElementsAre("a3: overloaded", "a1", "a2", "b1", "c1"));
}

TEST_F(LongWorkTest, RefusesWhatIsAboveTheBoundOfAllPeers) {
  Start({.max_waiting = 2, .max_waiting_per_peer = 2});
  Add("a", "a1");
  Add("b", "b1");
  Add("c", "c1");
  EXPECT_THAT(outcomes(), ElementsAre("c1: overloaded"));
  EXPECT_EQ(refusal(), "2 large requests wait to be read already");
  released_.set_value();
}

TEST(LongWork, LeavesAThreadToOtherPeers) {
  std::promise<void> begun;
  std::promise<void> released;
  std::promise<void> next;
  std::promise<void> other;
  std::future<void> next_of_peer = next.get_future();
  LongWork work({.threads = 2});
  work.Add("a", [&](const Status&) {
    begun.set_value();
    released.get_future().wait();
  });
  begun.get_future().wait();
  work.Add("a", [&](const Status&) { next.set_value(); });
  work.Add("b", [&](const Status&) { other.set_value(); });
  other.get_future().wait();
  EXPECT_EQ(next_of_peer.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "the peer has one thread";
  released.set_value();
  next_of_peer.wait();
}

TEST_F(LongWorkTest, GivesUpWhatWaitsWhenItStops) {
  Start();
  Add("a", "a1");
  Add("b", "b1");
  work_->Expire();
  EXPECT_THAT(outcomes(), UnorderedElementsAre("a1: unavailable", "b1: unavailable"));
  Add("c", "c1");
  EXPECT_EQ(outcomes().size(), 3U);
  released_.set_value();
}

TEST(TakeMemory, SaysWhetherARequestFitsOnceOthersHaveGone) {
  MemoryBudget budget(100);
  MemoryHold request(budget);
  MemoryHold others(budget);
  EXPECT_TRUE(TakeMemory(request, 50));
  EXPECT_TRUE(TakeMemory(others, 40));
  EXPECT_EQ(TakeMemory(request, 50).error().code(), Errc::kOverloaded);
  EXPECT_EQ(TakeMemory(request, 51).error().code(), Errc::kTooLarge) << "it holds 50 already";
  EXPECT_EQ(TakeMemory(request, 40, 11).error().code(), Errc::kTooLarge) << "and its body is somewhere else";
}

}  // namespace
}  // namespace mi::receive
