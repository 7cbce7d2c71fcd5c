#include "store/mysql/connection.h"

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <utility>

#include "base/fatal.h"
#include "store/rows.h"

namespace mi::store {
namespace {

// For the answer to a patient connection: the wait for the lock, and a statement that changes a table.
constexpr std::chrono::seconds kPreparePatience = kMysqlSchemaLockPatience + std::chrono::seconds(120);

// Rows per INSERT, the largest first: each number is a statement that is prepared once.
constexpr std::array<size_t, 3> kRowsPerInsert = {128, 16, 1};
constexpr uint64_t kMostPacketBytes = 4 << 20;  // larger packets are not faster
constexpr uint64_t kHeaderBytes = 4'096;        // of a packet, at most
constexpr uint64_t kLeastPacketBytes = 16'384;  // what our statements need; the server's own minimum is 1 KiB

st_mysql* NewHandle() {
  static std::once_flag once;  // mysql_init would do it, but not safely from several threads
  std::call_once(once, [] { mysql_server_init(0, nullptr, nullptr); });
  st_mysql* handle = mysql_init(nullptr);
  if (handle == nullptr) OutOfMemory();
  return handle;
}

// What a person has to do about a MysqlFault::kDenied.
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
    case 3098:
      return format("{}: a table without a primary key; the tables are those of an older version of metric-index: {}",
                    at, message);
    case ER_BINLOG_STMT_MODE_AND_ROW_ENGINE:
      return format("{}: set binlog_format to ROW or MIXED on the server: {}", at, message);
    default: return format("{} does not let user \"{}\" (mysql.user) in: {}", at, options.user, message);
  }
}

// `longest` divided by `part`, at least 1.
uint64_t Seconds(std::chrono::seconds longest, int64_t part) {
  return static_cast<uint64_t>(std::max<int64_t>(1, longest.count() / part));
}

}  // namespace

std::string AddressOf(const MysqlOptions& options) {
  return options.socket.empty() ? format("{}:{}", options.host, options.port) : options.socket;
}

void MysqlConnection::Close::operator()(st_mysql* connection) const { mysql_close(connection); }

MysqlConnection::MysqlConnection(const MysqlOptions& options, Purpose purpose, const MysqlFaultListener& listener)
    : options_(options), purpose_(purpose), listener_(listener), handle_(NewHandle()) {}

Status MysqlConnection::Open() {
  if (cancelled_) return Failed(CR_SERVER_LOST, "the connection was cancelled");
  SetOptions();
  const bool tcp = options_.socket.empty();
  const char* database = purpose_ == Purpose::kWithoutDatabase ? nullptr : options_.db_name.c_str();
  if (mysql_real_connect(handle_.get(), tcp ? options_.host.c_str() : "localhost", options_.user.c_str(),
                         options_.password.c_str(), database, tcp ? options_.port : 0,
                         tcp ? nullptr : options_.socket.c_str(), 0) == nullptr) {
    return Failed(mysql_errno(handle_.get()), mysql_error(handle_.get()));
  }
  socket_owner_.reset(dup(mysql_get_socket(handle_.get())));
  if (!socket_owner_.valid()) return Failed(CR_SOCKET_CREATE_ERROR, "no descriptor is left for the connection");
  socket_ = socket_owner_.get();
  if (cancelled_) return Failed(CR_SERVER_LOST, "the connection was cancelled");
  // The library continues in clear text if the server has no TLS.
  if (options_.tls.mode != "off" && mysql_get_ssl_cipher(handle_.get()) == nullptr) {
    return Failed(CR_SSL_CONNECTION_ERROR, "the server offers no TLS");
  }
  return SetSession();
}

// The time limits, as parts of longest_transaction. Whoever can say best what is wrong gives up first:
//
//   1/6          the server, waiting for a row lock           a conflict: repeat
//   1/3          the server, within a statement               a timeout; MySQL limits only SELECT
//   1/2          the server, between two statements           ends the connection, frees the locks of a dead client
//   1/2          the store, before COMMIT (CheckTime)         rolls back
//   1/2 + 1 s    this library, waiting for an answer          the connection is broken, the outcome unknown
//
// So a COMMIT that is sent at the last moment is answered, or given up, about when longest_transaction ends.
// MysqlSeriesStore handles the rest (TouchLate). MySQL has no limit of its own for idle transactions; its wait_timeout
// also ends idle connections in the pool, which the pool notices with a ping. A connection of Purpose::kPrepare has
// only the last limit, and there it is kPreparePatience.
void MysqlConnection::SetOptions() {
  const auto number = [this](mysql_option option, uint64_t value) {
    const auto narrow = static_cast<unsigned int>(value);
    mysql_options(handle_.get(), option, &narrow);
  };
  const auto flag = [this](mysql_option option, bool value) {
    const my_bool narrow = value ? 1 : 0;
    mysql_options(handle_.get(), option, &narrow);
  };
  const auto text = [this](mysql_option option, const std::string& value) {
    if (!value.empty()) mysql_options(handle_.get(), option, value.c_str());
  };
  number(MYSQL_OPT_CONNECT_TIMEOUT, Seconds(options_.connect_timeout, 1));
  // The server gives up first (SetSession), since it can say why.
  const uint64_t patience = IsPatient() ? Seconds(kPreparePatience, 1) : Seconds(options_.longest_transaction, 2) + 1;
  number(MYSQL_OPT_READ_TIMEOUT, patience);
  number(MYSQL_OPT_WRITE_TIMEOUT, patience);
  number(MYSQL_OPT_LOCAL_INFILE, 0);
  mysql_options(handle_.get(), MYSQL_SET_CHARSET_NAME, "utf8mb4");
  number(MYSQL_OPT_PROTOCOL, options_.socket.empty() ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET);
  flag(MYSQL_OPT_RECONNECT, false);
  mysql_options4(handle_.get(), MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "metric-index");
  flag(MYSQL_OPT_SSL_ENFORCE, options_.tls.mode != "off");
  flag(MYSQL_OPT_SSL_VERIFY_SERVER_CERT, options_.tls.mode == "verify");
  if (options_.tls.mode == "off") return;
  text(MYSQL_OPT_SSL_CA, options_.tls.ca);
  text(MYSQL_OPT_SSL_CERT, options_.tls.cert);
  text(MYSQL_OPT_SSL_KEY, options_.tls.key);
}

Status MysqlConnection::SetSession() {
  const bool is_mariadb = mariadb_connection(handle_.get()) != 0;
  // UTC, because UNIX_TIMESTAMP(NOW(3)) must not pass through an hour twice.
  TRY(Exec("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = 1"));
  TRY(Exec("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"));
  if (!IsPatient()) {
    const std::chrono::seconds longest = options_.longest_transaction;
    TRY(Exec(is_mariadb ? format("SET SESSION innodb_lock_wait_timeout = {}, max_statement_time = {}, "
                                 "idle_transaction_timeout = {}",
                                 Seconds(longest, 6), Seconds(longest, 3), Seconds(longest, 2))
                        : format("SET SESSION innodb_lock_wait_timeout = {}, max_execution_time = {}, "
                                 "wait_timeout = {}",
                                 Seconds(longest, 6), Seconds(longest, 3) * 1'000, Seconds(longest, 2))));
  }
  MysqlStatement* packet = TRY(Query("SELECT @@max_allowed_packet"));
  if (TRY(packet->Fetch())) max_packet_bytes_ = packet->Number(0);
  if (max_packet_bytes_ >= kLeastPacketBytes) return {};
  broken_ = true;
  return Fail(Errc::kUnavailable, format("max_allowed_packet on {} is {}, at least {} are needed", AddressOf(options_),
                                         FormatBytes(max_packet_bytes_), FormatBytes(kLeastPacketBytes)));
}

Status MysqlConnection::Exec(std::string_view sql) {
  if (mysql_real_query(handle_.get(), sql.data(), sql.size()) == 0) return {};
  return Failed(mysql_errno(handle_.get()), mysql_error(handle_.get()));
}

Result<MysqlStatement*> MysqlConnection::Prepare(std::string_view sql) {
  if (const auto known = statements_.find(sql); known != statements_.end()) return known->second.get();
  std::unique_ptr<MysqlStatement> statement(new MysqlStatement(*this));
  TRY(statement->Prepare(sql));
  return statements_.emplace(sql, std::move(statement)).first->second.get();
}

// 300 rows become 128 + 128 + 16 + 16 + 12 times 1. So there are three prepared statements per table and suffix, and at
// most 15 statements with a single row at the end. Rows that do not fit into one packet together go in smaller
// statements.
Status MysqlConnection::Insert(const MysqlRows& rows, std::string_view suffix) {
  std::array<MysqlStatement*, kRowsPerInsert.size()> inserts{};
  for (size_t begin = 0; begin < rows.size();) {
    const size_t most = TRY(RowsThatFit(rows, begin, kRowsPerInsert.front()));
    size_t size = 0;
    while (kRowsPerInsert[size] > most) ++size;
    const size_t count = kRowsPerInsert[size];
    MysqlStatement*& insert = inserts[size];
    if (insert == nullptr) insert = TRY(Prepare(format("{} {}", InsertSql(rows.into(), count), suffix)));
    for (size_t row = begin; row < begin + count; ++row) {
      for (const MysqlValue& value : rows.Row(row)) insert->Bind(value);
    }
    TRY(insert->Run());
    begin += count;
  }
  return {};
}

// Fills the usual packet. A row that is larger than that goes alone, in the largest packet that the server takes.
Result<size_t> MysqlConnection::RowsThatFit(const MysqlRows& rows, size_t begin, size_t max_rows) const {
  const uint64_t usual = std::min(kMostPacketBytes, max_packet_bytes_) - kHeaderBytes;
  const size_t most = std::min(max_rows, rows.size() - begin);
  size_t count = 0;
  for (uint64_t bytes = 0; count < most; ++count) {
    for (const MysqlValue& value : rows.Row(begin + count)) bytes += 10 + value.text.size();  // about
    if (bytes <= usual) continue;
    if (count > 0) break;
    if (bytes <= max_packet_bytes_ - kHeaderBytes) return 1;
    return Fail(Errc::kTooLarge, format("a row is {}, the database takes {} (max_allowed_packet on {})",
                                        FormatBytes(bytes), FormatBytes(max_packet_bytes_), AddressOf(options_)));
  }
  return count;
}

bool MysqlConnection::Ping() {
  if (mysql_ping(handle_.get()) != 0) broken_ = true;
  return !broken_;
}

void MysqlConnection::RollBack() {
  if (!broken_ && mysql_rollback(handle_.get()) != 0) broken_ = true;
}

// Open() stores socket_ and then looks at cancelled_; this does it the other way round. So one of them sees the other.
void MysqlConnection::Cancel() {
  cancelled_ = true;
  if (const int socket = socket_; socket >= 0) shutdown(socket, SHUT_RDWR);
}

std::unexpected<Error> MysqlConnection::Failed(unsigned int number, std::string_view message) {
  const MysqlFault fault = cancelled_ ? MysqlFault::kAway : FaultOf(number, message);
  ++faults_;
  last_fault_ = fault;
  last_number_ = number;
  if (EndsConnection(fault)) broken_ = true;
  if (listener_) listener_(fault);
  Errc code = CodeOf(fault);
  if (fault == MysqlFault::kDenied && purpose_ == Purpose::kServe) code = Errc::kUnavailable;
  std::string text =
      fault == MysqlFault::kDenied ? Advice(number, options_, message) : format("{}: {}", AddressOf(options_), message);
  if (number == CR_SSL_CONNECTION_ERROR) text += format(" (mysql.tls.mode is {})", options_.tls.mode);
  if (fault == MysqlFault::kReadOnly) text += " (a replica? mysql.host should name the primary)";
  return Fail(code, format("{} (error {})", text, number));
}

Result<MysqlTransaction> MysqlTransaction::Begin(MysqlConnection& connection) {
  TRY(connection.Exec("START TRANSACTION"));
  return MysqlTransaction(&connection);
}

Status MysqlTransaction::Commit() {
  TRY(connection_->Exec("COMMIT"));
  (void)connection_.release();
  return {};
}

}  // namespace mi::store
