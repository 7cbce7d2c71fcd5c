#include "store/mysql_connection.h"

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/format.h"

namespace mi::store {
namespace {

constexpr size_t kFirstTextBytes = 512;  // of a column's buffer; it grows
// For an answer to a patient connection: the wait for the lock, and a statement that changes a table.
constexpr std::chrono::seconds kPreparePatience = kMysqlSchemaLockPatience + std::chrono::seconds(120);

bool IsInteger(enum_field_types type) {
  switch (type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG: return true;
    default: return false;
  }
}

// What a person has to do about a fault of kind kDenied.
std::string Advice(unsigned int number, const MysqlOptions& options, std::string_view message) {
  const std::string at = AddressOf(options);
  const std::string grant =
      format("GRANT SELECT, INSERT, UPDATE ON `{}`.* TO '{}'@'<host>'", options.db_name, options.user);
  switch (number) {
    case ER_ACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
      return format("{} refuses user \"{}\" (mysql.user, mysql.password): {}", at, options.user, message);
    case ER_BAD_DB_ERROR: return format("{} has no database \"{}\" (mysql.db_name)", at, options.db_name);
    case ER_DBACCESS_DENIED_ERROR:
      return format(
          "{}: user \"{}\" (mysql.user) may not use database \"{}\" (mysql.db_name), or there is none; an "
          "administrator runs what `metric-index schema mysql` prints, and {}: {}",
          at, options.user, options.db_name, grant, message);
    case ER_HOST_NOT_PRIVILEGED: return format("{} accepts no connection from this host: {}", at, message);
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
      return format(
          "{}: user \"{}\" (mysql.user) lacks rights; an administrator runs {}, and for missing tables what "
          "`metric-index schema mysql` prints: {}",
          at, options.user, grant, message);
    case ER_NO_SUCH_TABLE:
    case ER_BAD_FIELD_ERROR:
    case ER_VIEW_INVALID:
      return format("{}: the tables are not those of this version of metric-index (mysql.db_name is \"{}\"): {}", at,
                    options.db_name, message);
    case ER_BINLOG_STMT_MODE_AND_ROW_ENGINE:
      return format("{}: set binlog_format to ROW or MIXED on the server: {}", at, message);
    default: return format("{} does not let user \"{}\" (mysql.user) in: {}", at, options.user, message);
  }
}

uint64_t Seconds(std::chrono::seconds longest, int64_t part) {
  return static_cast<uint64_t>(std::max<int64_t>(1, longest.count() / part));
}

}  // namespace

std::string AddressOf(const MysqlOptions& options) {
  return options.socket.empty() ? format("{}:{}", options.host, options.port) : options.socket;
}

MysqlConnection::MysqlConnection(const MysqlOptions& options, Purpose purpose, const MysqlFaultListener& listener)
    : options_(options), purpose_(purpose), listener_(listener), mysql_(mysql_init(nullptr)) {}

MysqlConnection::~MysqlConnection() {
  statements_.clear();
  mysql_close(mysql_);
  if (const int socket = socket_; socket >= 0) close(socket);
}

std::unique_ptr<MysqlConnection> MysqlConnection::Create(const MysqlOptions& options, Purpose purpose,
                                                         const MysqlFaultListener& listener) {
  static std::once_flag once;  // mysql_init would do it, but not safely from several threads
  std::call_once(once, [] { mysql_server_init(0, nullptr, nullptr); });
  return std::unique_ptr<MysqlConnection>(new MysqlConnection(options, purpose, listener));
}

Result<std::unique_ptr<MysqlConnection>> MysqlConnection::Connect(const MysqlOptions& options, Purpose purpose,
                                                                  const MysqlFaultListener& listener) {
  std::unique_ptr<MysqlConnection> connection = Create(options, purpose, listener);
  if (const Status opened = connection->Open(); !opened) return Fail(opened.error());
  return connection;
}

Status MysqlConnection::Open() {
  if (mysql_ == nullptr) return Fail(Errc::kUnavailable, "mysql_init: out of memory");
  if (cancelled_) return Failed(CR_SERVER_LOST, "the connection was cancelled");
  SetOptions();
  const bool tcp = options_.socket.empty();
  const char* database = purpose_ == Purpose::kWithoutDatabase ? nullptr : options_.db_name.c_str();
  if (mysql_real_connect(mysql_, tcp ? options_.host.c_str() : "localhost", options_.user.c_str(),
                         options_.password.c_str(), database, tcp ? options_.port : 0,
                         tcp ? nullptr : options_.socket.c_str(), 0) == nullptr) {
    return Failed(mysql_errno(mysql_), mysql_error(mysql_));
  }
  socket_ = dup(mysql_get_socket(mysql_));
  if (socket_ < 0) return Failed(CR_SOCKET_CREATE_ERROR, "no descriptor is left for the connection");
  if (cancelled_) return Failed(CR_SERVER_LOST, "the connection was cancelled");
  // The library goes on in clear text when the server has no TLS.
  if (options_.tls.mode != "off" && mysql_get_ssl_cipher(mysql_) == nullptr) {
    return Failed(CR_SSL_CONNECTION_ERROR, "the server offers no TLS");
  }
  return SetSession();
}

void MysqlConnection::SetOptions() {
  const auto number = [this](mysql_option option, uint64_t value) {
    const auto narrow = static_cast<unsigned int>(value);
    mysql_options(mysql_, option, &narrow);
  };
  const auto flag = [this](mysql_option option, bool value) {
    const my_bool narrow = value ? 1 : 0;
    mysql_options(mysql_, option, &narrow);
  };
  const auto text = [this](mysql_option option, const std::string& value) {
    if (!value.empty()) mysql_options(mysql_, option, value.c_str());
  };
  number(MYSQL_OPT_CONNECT_TIMEOUT, Seconds(options_.connect_timeout, 1));
  // The server gives up first (SetSession): then it can say why.
  const uint64_t patience = IsPatient() ? Seconds(kPreparePatience, 1) : Seconds(options_.longest_transaction, 2) + 1;
  number(MYSQL_OPT_READ_TIMEOUT, patience);
  number(MYSQL_OPT_WRITE_TIMEOUT, patience);
  number(MYSQL_OPT_LOCAL_INFILE, 0);
  mysql_options(mysql_, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  number(MYSQL_OPT_PROTOCOL, options_.socket.empty() ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET);
  flag(MYSQL_OPT_RECONNECT, false);
  mysql_options4(mysql_, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "metric-index");
  flag(MYSQL_OPT_SSL_ENFORCE, options_.tls.mode != "off");
  flag(MYSQL_OPT_SSL_VERIFY_SERVER_CERT, options_.tls.mode == "verify");
  if (options_.tls.mode == "off") return;
  text(MYSQL_OPT_SSL_CA, options_.tls.ca);
  text(MYSQL_OPT_SSL_CERT, options_.tls.cert);
  text(MYSQL_OPT_SSL_KEY, options_.tls.key);
}

Status MysqlConnection::SetSession() {
  const bool is_mariadb = mariadb_connection(mysql_) != 0;
  unsigned int extended = 0;  // capabilities from bit 32 on
  mariadb_get_infov(mysql_, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES, &extended);
  takes_arrays_ = options_.bulk == MysqlBulk::kArrays && is_mariadb &&
                  (extended & static_cast<unsigned int>(MARIADB_CLIENT_STMT_BULK_OPERATIONS >> 32)) != 0;

  // UTC: UNIX_TIMESTAMP(NOW(3)) must not pass through an hour twice.
  for (const std::string_view sql : {"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
                                     "time_zone = '+00:00', autocommit = 1",
                                     "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"}) {
    if (Status set = Exec(sql); !set) return set;
  }
  if (!IsPatient()) {
    const std::chrono::seconds longest = options_.longest_transaction;
    const std::string limits =
        is_mariadb ? format(
                         "SET SESSION innodb_lock_wait_timeout = {}, max_statement_time = {}, "
                         "idle_transaction_timeout = {}",
                         Seconds(longest, 6), Seconds(longest, 3), Seconds(longest, 2))
                   : format("SET SESSION innodb_lock_wait_timeout = {}, max_execution_time = {}, wait_timeout = {}",
                            Seconds(longest, 6), Seconds(longest, 3) * 1'000, Seconds(longest, 2));
    if (Status set = Exec(limits); !set) return set;
  }
  Result<MysqlStatement*> packet = Prepare("SELECT @@max_allowed_packet");
  if (!packet) return Fail(packet.error());
  if (Status run = (*packet)->Run(); !run) return run;
  const Result<bool> row = (*packet)->Fetch();
  if (!row) return Fail(row.error());
  max_packet_bytes_ = (*packet)->Number(0);
  return {};
}

Status MysqlConnection::Exec(std::string_view sql) {
  if (mysql_real_query(mysql_, sql.data(), sql.size()) == 0) return {};
  return Failed(mysql_errno(mysql_), mysql_error(mysql_));
}

Result<MysqlStatement*> MysqlConnection::Prepare(std::string_view sql) {
  if (const auto known = statements_.find(sql); known != statements_.end()) return known->second.get();
  st_mysql_stmt* raw = mysql_stmt_init(mysql_);
  if (raw == nullptr) return Fail(Errc::kInternal, "mysql_stmt_init: out of memory");
  std::unique_ptr<MysqlStatement> statement(new MysqlStatement(*this, raw));
  if (mysql_stmt_prepare(raw, sql.data(), sql.size()) != 0) return statement->Failed();
  if (MYSQL_RES* fields = mysql_stmt_result_metadata(raw); fields != nullptr) {
    for (unsigned int i = 0; i < mysql_num_fields(fields); ++i) {
      MysqlStatement::Column& column = statement->columns_.emplace_back();
      column.is_text = !IsInteger(mysql_fetch_field_direct(fields, i)->type);
      if (column.is_text) column.text.resize(kFirstTextBytes);
    }
    mysql_free_result(fields);
  }
  return statements_.emplace(sql, std::move(statement)).first->second.get();
}

bool MysqlConnection::Ping() {
  if (mysql_ping(mysql_) != 0) broken_ = true;
  return !broken_;
}

void MysqlConnection::RollBack() noexcept {
  if (!broken_ && mysql_rollback(mysql_) != 0) broken_ = true;
}

void MysqlConnection::Cancel() noexcept {
  cancelled_ = true;  // before the look at socket_: whoever sets that looks here afterwards
  if (const int socket = socket_; socket >= 0) shutdown(socket, SHUT_RDWR);
}

std::unexpected<Error> MysqlConnection::Failed(unsigned int number, std::string_view message) {
  ++faults_;
  last_number_ = number;
  last_fault_ = cancelled_ ? MysqlFault::kAway : FaultOf(number, message);
  if (EndsConnection(last_fault_)) broken_ = true;
  if (listener_) listener_(last_fault_);
  Errc code = CodeOf(last_fault_);
  if (last_fault_ == MysqlFault::kDenied && purpose_ == Purpose::kServe) code = Errc::kUnavailable;
  std::string text = last_fault_ == MysqlFault::kDenied ? Advice(number, options_, message)
                                                        : format("{}: {}", AddressOf(options_), message);
  if (number == CR_SSL_CONNECTION_ERROR) text += format(" (mysql.tls.mode is {})", options_.tls.mode);
  if (last_fault_ == MysqlFault::kReadOnly) text += " (a replica? mysql.host should name the primary)";
  return Fail(code, format("{} (error {})", text, number));
}

Result<uint64_t> ServerNowMs(MysqlConnection& connection) {
  Result<MysqlStatement*> select = connection.Prepare("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)");
  if (!select) return Fail(select.error());
  if (Status run = (*select)->Run(); !run) return Fail(run.error());
  const Result<bool> row = (*select)->Fetch();
  if (!row) return Fail(row.error());
  return (*select)->Number(0);
}

Result<uint64_t> TakeMysqlIds(MysqlConnection& connection, std::string_view table, uint64_t count) {
  Result<MysqlStatement*> take =
      connection.Prepare("UPDATE metric_next_id SET next_id = LAST_INSERT_ID(next_id + ?) WHERE name = ?");
  if (!take) return Fail(take.error());
  if (Status run = (*take)->Bind(count).BindText(table).Run(); !run) return Fail(run.error());
  if ((*take)->affected_rows() == 1) return (*take)->insert_id() - count;
  return Fail(Errc::kCorrupt, format("metric_next_id has no row \"{}\": restore a backup", table));
}

Result<MysqlTransaction> MysqlTransaction::Begin(MysqlConnection& connection) {
  if (Status begun = connection.Exec("START TRANSACTION"); !begun) return Fail(begun.error());
  return MysqlTransaction(&connection);
}

MysqlTransaction::~MysqlTransaction() {
  if (connection_ != nullptr) connection_->RollBack();
}

Status MysqlTransaction::Commit() {
  Status committed = connection_->Exec("COMMIT");
  if (committed) connection_ = nullptr;
  return committed;
}

}  // namespace mi::store
