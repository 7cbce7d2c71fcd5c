#include "receive/answer_deadlines.h"

#include <gtest/gtest.h>

#include <future>
#include <new>

namespace mi::receive {
namespace {

class Waiting final : public Expirable {
 public:
  void Expire() override { expired.set_value(); }
  std::promise<void> expired;
};

class Poor final : public Expirable {
 public:
  void Expire() override { throw std::bad_alloc(); }
};

TEST(AnswerDeadlines, AskTheClockWhatTimeItIs) {
  ManualClock clock;
  AnswerDeadlines deadlines(clock);
  const auto soon = std::make_shared<Waiting>();
  const auto late = std::make_shared<Waiting>();
  deadlines.Watch(late, std::chrono::hours(2));
  deadlines.Watch(soon, std::chrono::milliseconds(1));
  clock.Advance(std::chrono::hours(1));
  soon->expired.get_future().wait();
  auto expired = late->expired.get_future();
  EXPECT_EQ(expired.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  deadlines.ExpireAll();
  expired.wait();
}

TEST(AnswerDeadlines, GoOnWhenOneThatWaitsCannotBeTold) {
  ManualClock clock;
  AnswerDeadlines deadlines(clock);
  const auto poor = std::make_shared<Poor>();
  const auto next = std::make_shared<Waiting>();
  const auto last = std::make_shared<Waiting>();
  deadlines.Watch(poor, std::chrono::milliseconds(1));
  deadlines.Watch(next, std::chrono::milliseconds(1));
  clock.Advance(std::chrono::milliseconds(1));
  next->expired.get_future().wait();
  deadlines.Watch(poor, std::chrono::hours(1));
  deadlines.Watch(last, std::chrono::hours(1));
  deadlines.ExpireAll();
  last->expired.get_future().wait();
}

}  // namespace
}  // namespace mi::receive
