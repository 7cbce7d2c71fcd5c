#include "base/fair_queue.h"

namespace mi {
namespace {

using Line = FairQueue<int>;
using Pushed = Line::Pushed;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<int> PopAll(Line& queue, size_t count) {
  std::vector<int> items;
  while (items.size() < count) items.push_back(queue.Pop()->item);
  return items;
}

TEST(FairQueue, ServesTheClientsInTurn) {
  Line queue({.capacity = 10, .share = 10, .running_share = 1});
  for (const int item : {1, 2, 3}) queue.TryPush({"a", ""}, int{item});
  for (const int item : {10, 20}) queue.TryPush({"b", ""}, int{item});
  queue.TryPush({"c", ""}, 100);
  EXPECT_THAT(PopAll(queue, 6), ElementsAre(1, 10, 100, 2, 20, 3));
}

TEST(FairQueue, ServesTheTenantsOfAClientInTurnWithinTheTurnsOfTheClient) {
  Line queue({.capacity = 10, .share = 10, .running_share = 1});
  for (const int item : {1, 2, 3}) queue.TryPush({"proxy", "t"}, int{item});
  for (const int item : {10, 20}) queue.TryPush({"proxy", "u"}, int{item});
  for (const int item : {100, 200, 300}) queue.TryPush({"other", "t"}, int{item});
  EXPECT_THAT(PopAll(queue, 8), ElementsAre(1, 100, 10, 200, 2, 300, 20, 3));
}

TEST(FairQueue, GivesAClientOneShareHoweverManyTenantsItNames) {
  Line queue({.capacity = 4, .share = 3, .running_share = 1});
  EXPECT_EQ(queue.TryPush({"many", "t"}, 1), Pushed::kTaken);
  EXPECT_EQ(queue.TryPush({"many", "u"}, 2), Pushed::kTaken);
  EXPECT_EQ(queue.TryPush({"many", "v"}, 3), Pushed::kTaken);
  EXPECT_EQ(queue.TryPush({"many", "w"}, 4), Pushed::kShareIsFull);
  std::optional<Line::Turn> running = queue.Pop();
  EXPECT_EQ(running->item, 1);
  EXPECT_EQ(queue.TryPush({"other", "t"}, 100), Pushed::kTaken);
  EXPECT_EQ(queue.Pop()->item, 100);  // although 2 came first, of another tenant
  running.reset();
  EXPECT_THAT(PopAll(queue, 2), ElementsAre(2, 3));
}

TEST(FairQueue, LeavesAWorkerToOthers) {
  Line queue({.capacity = 10, .share = 10, .running_share = 2});
  for (const int item : {1, 2, 3}) queue.TryPush({"slow", ""}, int{item});
  std::optional<Line::Turn> first = queue.Pop();
  std::optional<Line::Turn> second = queue.Pop();
  queue.TryPush({"quick", ""}, 100);
  EXPECT_EQ(queue.Pop()->item, 100);  // although 3 came first
  queue.TryPush({"quick", ""}, 200);
  second.reset();
  EXPECT_THAT(PopAll(queue, 2), UnorderedElementsAre(3, 200));
}

TEST(FairQueue, BoundsWhatWaitsOfOneClientAndInTotal) {
  Line queue({.capacity = 3, .share = 2, .running_share = 1});
  EXPECT_EQ(queue.TryPush({"a", ""}, 1), Pushed::kTaken);
  EXPECT_EQ(queue.TryPush({"a", ""}, 2), Pushed::kTaken);
  EXPECT_EQ(queue.TryPush({"a", ""}, 3), Pushed::kShareIsFull);
  EXPECT_EQ(queue.TryPush({"b", ""}, 4), Pushed::kTaken);
  EXPECT_EQ(queue.TryPush({"c", ""}, 5), Pushed::kFull);
  EXPECT_EQ(queue.Pop()->item, 1);
  EXPECT_EQ(queue.TryPush({"a", ""}, 6), Pushed::kTaken);
}

TEST(FairQueue, ReturnsWhatWaitsWhenItIsClosed) {
  Line queue({.capacity = 10, .share = 10, .running_share = 1});
  queue.TryPush({"a", ""}, 1);
  queue.TryPush({"a", "t"}, 2);
  queue.TryPush({"b", ""}, 3);
  std::optional<Line::Turn> running = queue.Pop();
  EXPECT_THAT(queue.Close(), UnorderedElementsAre(2, 3));
  EXPECT_THAT(queue.Close(), IsEmpty());
  EXPECT_EQ(queue.TryPush({"a", ""}, 4), Pushed::kClosed);
  EXPECT_FALSE(queue.Pop());
}

}  // namespace
}  // namespace mi
