#include "store/mysql_error.h"

#include <errmsg.h>
#include <mysqld_error.h>

namespace mi::store {
namespace {

// Numbers that the client library's headers do not name.
constexpr unsigned int kMysqlQueryTimeout = 3024;         // ER_QUERY_TIMEOUT of MySQL
constexpr unsigned int kMysqlTransactionRollback = 3101;  // group replication certified another one first
constexpr unsigned int kMysqlDiskFull = 3675;             // MySQL 8: no room in the tablespace of temporary tables
constexpr unsigned int kClientInteractionTimeout = 4031;  // ER_CLIENT_INTERACTION_TIMEOUT of MySQL 8

}  // namespace

std::string_view ToString(MysqlFault fault) {
  switch (fault) {
    case MysqlFault::kConflict: return "conflict";
    case MysqlFault::kAway: return "away";
    case MysqlFault::kTimeout: return "timeout";
    case MysqlFault::kReadOnly: return "read_only";
    case MysqlFault::kFull: return "disk_full";
    case MysqlFault::kDenied: return "denied";
    case MysqlFault::kBadData: return "bad_data";
    case MysqlFault::kTooLarge: return "too_large";
    case MysqlFault::kCorrupt: return "corrupt";
    case MysqlFault::kOther: return "other";
  }
  return "other";
}

MysqlFault FaultOf(unsigned int number, std::string_view message) {
  switch (number) {
    case ER_LOCK_DEADLOCK:
    case ER_LOCK_WAIT_TIMEOUT:
    case ER_DUP_ENTRY:
    case ER_DUP_ENTRY_WITH_KEY_NAME:
    case ER_CHECKREAD:
    case ER_LOCK_ABORTED:
    case kMysqlTransactionRollback: return MysqlFault::kConflict;

    case ER_CON_COUNT_ERROR:
    case ER_TOO_MANY_USER_CONNECTIONS:
    case ER_USER_LIMIT_REACHED:
    case ER_HOST_IS_BLOCKED:
    case ER_HANDSHAKE_ERROR:
    case ER_SERVER_SHUTDOWN:
    case ER_NORMAL_SHUTDOWN:
    case ER_ABORTING_CONNECTION:
    case ER_NEW_ABORTING_CONNECTION:
    case ER_CONNECTION_KILLED:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_ERROR_ON_WRITE:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_NET_PACKETS_OUT_OF_ORDER:
    case ER_UNKNOWN_COM_ERROR:  // what Galera says while a node is not in the cluster
    case kClientInteractionTimeout: return MysqlFault::kAway;

    case ER_QUERY_INTERRUPTED:
    case ER_STATEMENT_TIMEOUT:
    case kMysqlQueryTimeout: return MysqlFault::kTimeout;

    case ER_OPTION_PREVENTS_STATEMENT:
    case ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION:
    case ER_READ_ONLY_MODE: return MysqlFault::kReadOnly;

    case ER_DISK_FULL:
    case ER_RECORD_FILE_FULL:
    case ER_ERROR_ON_WRITE:
    case ER_TRANS_CACHE_FULL:
    case ER_LOCK_TABLE_FULL:
    case ER_OUTOFMEMORY:
    case ER_OUT_OF_RESOURCES:
    case kMysqlDiskFull: return MysqlFault::kFull;
    case ER_GET_ERRNO:
      return message.find("error 28 ") != std::string_view::npos ? MysqlFault::kFull : MysqlFault::kOther;

    case ER_ACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_BAD_DB_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
    case ER_HOST_NOT_PRIVILEGED:
    case ER_MUST_CHANGE_PASSWORD:
    case ER_MUST_CHANGE_PASSWORD_LOGIN:
    case ER_NO_SUCH_TABLE:
    case ER_BAD_FIELD_ERROR:
    case ER_VIEW_INVALID:
    case ER_BINLOG_STMT_MODE_AND_ROW_ENGINE: return MysqlFault::kDenied;

    case ER_TRUNCATED_WRONG_VALUE_FOR_FIELD:
    case ER_INVALID_CHARACTER_STRING:
    case ER_DATA_TOO_LONG:
    case ER_WARN_DATA_OUT_OF_RANGE: return MysqlFault::kBadData;

    case ER_NET_PACKET_TOO_LARGE:
    case CR_NET_PACKET_TOO_LARGE: return MysqlFault::kTooLarge;

    case ER_NOT_KEYFILE:
    case ER_CRASHED_ON_USAGE:
    case ER_CRASHED_ON_REPAIR:
    case ER_NO_SUCH_TABLE_IN_ENGINE: return MysqlFault::kCorrupt;

    case CR_AUTH_PLUGIN_CANNOT_LOAD:
    case CR_AUTH_PLUGIN_ERR:
    case CR_SECURE_AUTH: return MysqlFault::kDenied;
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case CR_IPSOCK_ERROR:
    case CR_SOCKET_CREATE_ERROR:
    case CR_UNKNOWN_HOST:
    case CR_SERVER_HANDSHAKE_ERR:
    case CR_SSL_CONNECTION_ERROR:
    case CR_MALFORMED_PACKET:
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_STMT_CLOSED:
    case CR_ERR_NET_READ:
    case CR_ERR_NET_WRITE: return MysqlFault::kAway;
    default: return MysqlFault::kOther;
  }
}

Errc CodeOf(MysqlFault fault) {
  switch (fault) {
    case MysqlFault::kConflict:
    case MysqlFault::kFull: return Errc::kOverloaded;
    case MysqlFault::kAway:
    case MysqlFault::kTimeout:
    case MysqlFault::kReadOnly: return Errc::kUnavailable;
    case MysqlFault::kDenied:
    case MysqlFault::kBadData: return Errc::kInvalid;
    case MysqlFault::kTooLarge: return Errc::kTooLarge;
    case MysqlFault::kCorrupt: return Errc::kCorrupt;
    case MysqlFault::kOther: return Errc::kInternal;
  }
  return Errc::kInternal;
}

bool EndsConnection(MysqlFault fault) {
  switch (fault) {
    case MysqlFault::kAway:
    case MysqlFault::kReadOnly:  // the name may lead to the new primary by now
    case MysqlFault::kDenied:    // rights and tables may have changed: what was prepared is void
    case MysqlFault::kTooLarge:  // the server hangs up after it
    case MysqlFault::kOther: return true;
    case MysqlFault::kConflict:
    case MysqlFault::kTimeout:
    case MysqlFault::kFull:
    case MysqlFault::kBadData:
    case MysqlFault::kCorrupt: return false;
  }
  return true;
}

}  // namespace mi::store
