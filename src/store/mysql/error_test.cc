#include "store/mysql/error.h"

#include <gtest/gtest.h>

namespace mi::store {
namespace {

TEST(MysqlFault, TellsWhatEachEngineMeans) {
  const auto is = [](MysqlFault fault, unsigned int number, std::string_view message = "") {
    EXPECT_EQ(ToString(FaultOf(number, message)), ToString(fault)) << number << " " << message;
  };
  is(MysqlFault::kConflict, 1213);
  is(MysqlFault::kConflict, 1205);
  is(MysqlFault::kConflict, 3101);
  is(MysqlFault::kConflict, 1180, "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT");
  for (const unsigned int number : {8002, 8005, 8022, 8028, 9007}) is(MysqlFault::kConflict, number);
  is(MysqlFault::kTooLarge, 1180, "Got error 90 - 'Message too long' during COMMIT");
  is(MysqlFault::kTooLarge, 1197);
  is(MysqlFault::kTooLarge, 8004);
  is(MysqlFault::kTooLarge, 8025);
  is(MysqlFault::kFull, 1180, "Got error 28 - 'No space left on device' during COMMIT");
  is(MysqlFault::kOther, 1180, "Got error 5 - 'Input/output error' during COMMIT");
  is(MysqlFault::kAway, 1047);
  for (const unsigned int number : {9001, 9002, 9003, 9004, 9005}) is(MysqlFault::kAway, number);
  for (const unsigned int number : {1290, 1792, 1836}) is(MysqlFault::kReadOnly, number);
  is(MysqlFault::kDenied, 3098);
}

}  // namespace
}  // namespace mi::store
