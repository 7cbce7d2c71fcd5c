// What the error numbers of MySQL, MariaDB and their client library mean for us.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace mi::store {

enum class MysqlFault : uint8_t {
  kConflict,  // deadlock, lock wait, a row that another transaction inserted first: roll back and repeat
  kAway,      // there is no connection, or none any more
  kTimeout,   // the server stopped the statement; the connection is good
  kReadOnly,  // a replica, or a primary that was demoted
  kFull,      // the server's disk
  kDenied,    // user, password, database, rights, settings: a person is needed
  kBadData,   // a value that the column refuses
  kTooLarge,  // a row above max_allowed_packet, or a transaction above a limit of the server
  kCorrupt,   // damaged tables
  kOther,
};
inline constexpr size_t kMysqlFaults = static_cast<size_t>(MysqlFault::kOther) + 1;

// The label of store_errors_total.
std::string_view ToString(MysqlFault fault);

// `message` tells what an ER_GET_ERRNO or an ER_ERROR_DURING_COMMIT is.
MysqlFault FaultOf(unsigned int number, std::string_view message);

// kDenied is kInvalid here. A caller that must not blame the record uses kUnavailable instead.
Errc CodeOf(MysqlFault fault);

// Whether the connection must not be used again.
bool EndsConnection(MysqlFault fault);

}  // namespace mi::store
