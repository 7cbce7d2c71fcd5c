#include "store/mysql/error.h"

#include <errmsg.h>
#include <mysqld_error.h>

#include <algorithm>
#include <array>
#include <span>

namespace mi::store {
namespace {

// Numbers that the client library's headers do not name.
constexpr unsigned int kMysqlQueryTimeout = 3024;         // ER_QUERY_TIMEOUT of MySQL
constexpr unsigned int kMysqlTransactionRollback = 3101;  // group replication certified another one first
constexpr unsigned int kMysqlDiskFull = 3675;             // MySQL 8: no room in the tablespace of temporary tables
constexpr unsigned int kClientInteractionTimeout = 4031;  // ER_CLIENT_INTERACTION_TIMEOUT of MySQL 8

constexpr unsigned int kMysqlPluginRefusesTable = 3098;  // Group Replication: no primary key
// TiDB.
constexpr unsigned int kTidbRetry = 8002;
constexpr unsigned int kTidbWriteConflict = 8005;
constexpr unsigned int kTidbCommitFailed = 8022;
constexpr unsigned int kTidbSchemaChanged = 8028;
constexpr unsigned int kTidbOptimisticConflict = 9007;
constexpr unsigned int kTidbTransactionTooLarge = 8004;
constexpr unsigned int kTidbEntryTooLarge = 8025;

constexpr unsigned int kConflict[] = {ER_LOCK_DEADLOCK,           ER_LOCK_WAIT_TIMEOUT, ER_DUP_ENTRY,
                                      ER_DUP_ENTRY_WITH_KEY_NAME, ER_CHECKREAD,         ER_LOCK_ABORTED,
                                      kMysqlTransactionRollback,  kTidbRetry,           kTidbWriteConflict,
                                      kTidbCommitFailed,          kTidbSchemaChanged,   kTidbOptimisticConflict};
// ER_UNKNOWN_COM_ERROR is what Galera says while a node is not in the cluster.
constexpr unsigned int kAway[] = {ER_CON_COUNT_ERROR,
                                  ER_TOO_MANY_USER_CONNECTIONS,
                                  ER_USER_LIMIT_REACHED,
                                  ER_HOST_IS_BLOCKED,
                                  ER_HANDSHAKE_ERROR,
                                  ER_SERVER_SHUTDOWN,
                                  ER_NORMAL_SHUTDOWN,
                                  ER_ABORTING_CONNECTION,
                                  ER_NEW_ABORTING_CONNECTION,
                                  ER_CONNECTION_KILLED,
                                  ER_NET_READ_ERROR,
                                  ER_NET_READ_INTERRUPTED,
                                  ER_NET_ERROR_ON_WRITE,
                                  ER_NET_WRITE_INTERRUPTED,
                                  ER_NET_PACKETS_OUT_OF_ORDER,
                                  ER_UNKNOWN_COM_ERROR,
                                  kClientInteractionTimeout,
                                  CR_SERVER_GONE_ERROR,
                                  CR_SERVER_LOST,
                                  CR_CONNECTION_ERROR,
                                  CR_CONN_HOST_ERROR,
                                  CR_IPSOCK_ERROR,
                                  CR_SOCKET_CREATE_ERROR,
                                  CR_UNKNOWN_HOST,
                                  CR_SERVER_HANDSHAKE_ERR,
                                  CR_SSL_CONNECTION_ERROR,
                                  CR_MALFORMED_PACKET,
                                  CR_COMMANDS_OUT_OF_SYNC,
                                  CR_STMT_CLOSED,
                                  CR_ERR_NET_READ,
                                  CR_ERR_NET_WRITE,
                                  9001,
                                  9002,
                                  9003,
                                  9004,
                                  9005};  // parts of TiDB
constexpr unsigned int kTimeout[] = {ER_QUERY_INTERRUPTED, ER_STATEMENT_TIMEOUT, kMysqlQueryTimeout};
constexpr unsigned int kReadOnly[] = {ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
                                      ER_READ_ONLY_MODE};
constexpr unsigned int kFull[] = {ER_DISK_FULL,   ER_RECORD_FILE_FULL, ER_ERROR_ON_WRITE, ER_LOCK_TABLE_FULL,
                                  ER_OUTOFMEMORY, ER_OUT_OF_RESOURCES, kMysqlDiskFull};
constexpr unsigned int kDenied[] = {ER_ACCESS_DENIED_ERROR,
                                    ER_ACCESS_DENIED_NO_PASSWORD_ERROR,
                                    ER_DBACCESS_DENIED_ERROR,
                                    ER_BAD_DB_ERROR,
                                    ER_TABLEACCESS_DENIED_ERROR,
                                    ER_COLUMNACCESS_DENIED_ERROR,
                                    ER_SPECIFIC_ACCESS_DENIED_ERROR,
                                    ER_HOST_NOT_PRIVILEGED,
                                    ER_MUST_CHANGE_PASSWORD,
                                    ER_MUST_CHANGE_PASSWORD_LOGIN,
                                    ER_NO_SUCH_TABLE,
                                    ER_BAD_FIELD_ERROR,
                                    ER_VIEW_INVALID,
                                    ER_BINLOG_STMT_MODE_AND_ROW_ENGINE,
                                    kMysqlPluginRefusesTable,
                                    CR_AUTH_PLUGIN_CANNOT_LOAD,
                                    CR_AUTH_PLUGIN_ERR,
                                    CR_SECURE_AUTH};
constexpr unsigned int kBadData[] = {ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, ER_INVALID_CHARACTER_STRING, ER_DATA_TOO_LONG,
                                     ER_WARN_DATA_OUT_OF_RANGE};
constexpr unsigned int kTooLarge[] = {ER_NET_PACKET_TOO_LARGE, CR_NET_PACKET_TOO_LARGE, ER_TRANS_CACHE_FULL,
                                      kTidbTransactionTooLarge, kTidbEntryTooLarge};
constexpr unsigned int kCorrupt[] = {ER_NOT_KEYFILE, ER_CRASHED_ON_USAGE, ER_CRASHED_ON_REPAIR,
                                     ER_NO_SUCH_TABLE_IN_ENGINE};

struct FaultRow {
  std::string_view name;
  Errc code;
  bool ends_connection;
  std::span<const unsigned int> numbers;
};

// By MysqlFault. A connection ends: after kReadOnly, since the name may lead to the new primary by now; after kDenied,
// since rights and tables may have changed, which makes prepared statements void; after kTooLarge, since the server
// hangs up.
constexpr std::array<FaultRow, kMysqlFaults> kFaults = {{
    {"conflict", Errc::kOverloaded, false, kConflict},
    {"away", Errc::kUnavailable, true, kAway},
    {"timeout", Errc::kUnavailable, false, kTimeout},
    {"read_only", Errc::kUnavailable, true, kReadOnly},
    {"disk_full", Errc::kOverloaded, false, kFull},
    {"denied", Errc::kInvalid, true, kDenied},
    {"bad_data", Errc::kInvalid, false, kBadData},
    {"too_large", Errc::kTooLarge, true, kTooLarge},
    {"corrupt", Errc::kCorrupt, false, kCorrupt},
    {"other", Errc::kInternal, true, {}},
}};

const FaultRow& RowOf(MysqlFault fault) { return kFaults[static_cast<size_t>(fault)]; }

}  // namespace

std::string_view ToString(MysqlFault fault) { return RowOf(fault).name; }
Errc CodeOf(MysqlFault fault) { return RowOf(fault).code; }
bool EndsConnection(MysqlFault fault) { return RowOf(fault).ends_connection; }

// These two say only in their text what happened: with the number of the storage engine, or of the operating system.
MysqlFault FaultOf(unsigned int number, std::string_view message) {
  if (number == ER_ERROR_DURING_COMMIT) {
    if (message.contains("error 149 ")) return MysqlFault::kConflict;  // Group Replication: another one was first
    if (message.contains("error 90 ")) return MysqlFault::kTooLarge;   // Galera: above wsrep_max_ws_size
    return message.contains("error 28 ") ? MysqlFault::kFull : MysqlFault::kOther;
  }
  if (number == ER_GET_ERRNO) return message.contains("error 28 ") ? MysqlFault::kFull : MysqlFault::kOther;  // ENOSPC
  const auto row = std::ranges::find_if(
      kFaults, [&](const FaultRow& fault) { return std::ranges::find(fault.numbers, number) != fault.numbers.end(); });
  return row == kFaults.end() ? MysqlFault::kOther : static_cast<MysqlFault>(row - kFaults.begin());
}

}  // namespace mi::store
