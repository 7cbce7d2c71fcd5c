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

// Rows a multi-row INSERT, the largest first: each number is a statement that is prepared once.
constexpr std::array<size_t, 3> kMultiRows = {128, 16, 1};
constexpr size_t kArrayRows = 4'096;
constexpr uint64_t kMostPacketBytes = 4 << 20;  // more a packet is not faster
constexpr size_t kFirstTextBytes = 512;         // of a column's buffer; it grows
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

MysqlStatement::MysqlStatement(MysqlConnection& connection, st_mysql_stmt* statement)
    : connection_(connection), statement_(statement) {}

MysqlStatement::~MysqlStatement() { mysql_stmt_close(statement_); }

MysqlStatement& MysqlStatement::Bind(uint64_t number) {
  parameters_.push_back({.number = number, .text = {}, .is_text = false, .is_signed = false});
  return *this;
}
MysqlStatement& MysqlStatement::Bind(int64_t number) {
  parameters_.push_back({.number = static_cast<uint64_t>(number), .text = {}, .is_text = false, .is_signed = true});
  return *this;
}
MysqlStatement& MysqlStatement::BindText(std::string_view text) {
  parameters_.push_back({.number = 0, .text = text, .is_text = true, .is_signed = false});
  return *this;
}

Status MysqlStatement::Run() {
  const std::vector<Parameter> parameters = std::exchange(parameters_, {});
  mysql_stmt_free_result(statement_);
  std::vector<MYSQL_BIND> binds(parameters.size());
  std::vector<unsigned long> lengths(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    MYSQL_BIND& bind = binds[i];
    if (parameter.is_text) {
      bind.buffer_type = MYSQL_TYPE_STRING;
      bind.buffer = const_cast<char*>(parameter.text.data());
      lengths[i] = parameter.text.size();
      bind.buffer_length = lengths[i];
      bind.length = &lengths[i];
    } else {
      bind.buffer_type = MYSQL_TYPE_LONGLONG;
      bind.buffer = const_cast<uint64_t*>(&parameter.number);
      bind.is_unsigned = !parameter.is_signed;
    }
  }
  if (!binds.empty() && mysql_stmt_bind_param(statement_, binds.data()) != 0) return Failed();
  if (mysql_stmt_execute(statement_) != 0) return Failed();
  if (columns_.empty()) return {};
  if (Status bound = BindColumns(); !bound) return bound;
  if (mysql_stmt_store_result(statement_) != 0) return Failed();
  return {};
}

Status MysqlStatement::RunArrays(const MysqlRows& rows, size_t begin, size_t end) {
  std::vector<MYSQL_BIND> binds(rows.columns().size());
  for (size_t i = 0; i < binds.size(); ++i) {
    const MysqlColumn& column = rows.columns()[i];
    if (column.is_text) {
      binds[i].buffer_type = MYSQL_TYPE_STRING;
      binds[i].buffer = const_cast<const char**>(column.texts.data() + begin);
      binds[i].length = const_cast<unsigned long*>(column.lengths.data() + begin);
    } else {
      binds[i].buffer_type = MYSQL_TYPE_LONGLONG;
      binds[i].buffer = const_cast<uint64_t*>(column.numbers.data() + begin);
    }
  }
  const auto count = static_cast<unsigned int>(end - begin);
  mysql_stmt_attr_set(statement_, STMT_ATTR_ARRAY_SIZE, &count);
  if (mysql_stmt_bind_param(statement_, binds.data()) != 0) return Failed();
  if (mysql_stmt_execute(statement_) != 0) return Failed();
  return {};
}

Status MysqlStatement::BindColumns() {
  std::vector<MYSQL_BIND> binds(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    binds[i].length = &column.length;
    if (column.is_text) {
      binds[i].buffer_type = MYSQL_TYPE_STRING;
      binds[i].buffer = column.text.data();
      binds[i].buffer_length = column.text.size();
    } else {
      binds[i].buffer_type = MYSQL_TYPE_LONGLONG;
      binds[i].buffer = &column.number;
      binds[i].is_unsigned = true;
    }
  }
  if (mysql_stmt_bind_result(statement_, binds.data()) != 0) return Failed();
  return {};
}

Result<bool> MysqlStatement::Fetch() {
  if (columns_.empty()) return false;
  const int result = mysql_stmt_fetch(statement_);
  if (result == MYSQL_NO_DATA) {
    mysql_stmt_free_result(statement_);
    return false;
  }
  if (result != 0 && result != MYSQL_DATA_TRUNCATED) return Failed();
  bool grown = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    if (!column.is_text || column.length <= column.text.size()) continue;
    column.text.resize(std::max<size_t>(column.length, column.text.size() * 2));
    MYSQL_BIND bind{};
    bind.buffer_type = MYSQL_TYPE_STRING;
    bind.buffer = column.text.data();
    bind.buffer_length = column.text.size();
    bind.length = &column.length;
    if (mysql_stmt_fetch_column(statement_, &bind, static_cast<unsigned int>(i), 0) != 0) return Failed();
    grown = true;
  }
  // The library copied the addresses of the old buffers.
  if (grown) {
    const auto lengths = [this] {
      std::vector<unsigned long> all;
      all.reserve(columns_.size());
      for (const Column& column : columns_) all.push_back(column.length);
      return all;
    }();
    if (Status bound = BindColumns(); !bound) return Fail(bound.error());
    for (size_t i = 0; i < columns_.size(); ++i) columns_[i].length = lengths[i];
  }
  return true;
}

std::string MysqlStatement::Shown(size_t column) const {
  return columns_[column].is_text ? std::string(Text(column)) : format("{}", Signed(column));
}
uint64_t MysqlStatement::affected_rows() const { return mysql_stmt_affected_rows(statement_); }
uint64_t MysqlStatement::insert_id() const { return mysql_stmt_insert_id(statement_); }

std::unexpected<Error> MysqlStatement::Failed() {
  return connection_.Failed(mysql_stmt_errno(statement_), mysql_stmt_error(statement_));
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
  is_mariadb_ = mariadb_connection(mysql_) != 0;
  unsigned int extended = 0;  // capabilities from bit 32 on
  mariadb_get_infov(mysql_, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES, &extended);
  takes_arrays_ = options_.bulk == MysqlBulk::kArrays && is_mariadb_ &&
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
        is_mariadb_ ? format(
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

Result<size_t> MysqlConnection::ChunkEnd(const MysqlRows& rows, size_t begin, size_t max_rows) const {
  constexpr size_t kHeaderBytes = 4'096;
  const uint64_t limit = std::min(kMostPacketBytes, max_packet_bytes_) - kHeaderBytes;
  size_t end = begin;
  for (size_t bytes = 0; end < rows.size() && end - begin < max_rows; ++end) {
    bytes += rows.RowBytes(end);
    if (bytes <= limit) continue;
    if (end > begin) break;
    if (bytes <= max_packet_bytes_ - kHeaderBytes) continue;  // a large row goes alone
    return Fail(Errc::kTooLarge, format("a row is {}, the database takes {} (max_allowed_packet on {})",
                                        FormatBytes(bytes), FormatBytes(max_packet_bytes_), AddressOf(options_)));
  }
  return end;
}

Status MysqlConnection::Insert(std::string_view into, const MysqlRows& rows, std::string_view suffix) {
  return takes_arrays_ ? InsertArrays(into, rows, suffix) : InsertMultiRow(into, rows, suffix);
}

namespace {

std::string InsertSql(std::string_view into, size_t columns, size_t rows, std::string_view suffix) {
  std::string row = "(?";
  for (size_t i = 1; i < columns; ++i) row += ", ?";
  row += ")";
  std::string sql = format("INSERT INTO {} VALUES {}", into, row);
  for (size_t i = 1; i < rows; ++i) sql += ", " + row;
  if (!suffix.empty()) sql += format(" {}", suffix);
  return sql;
}

}  // namespace

Status MysqlConnection::InsertArrays(std::string_view into, const MysqlRows& rows, std::string_view suffix) {
  if (rows.size() == 0) return {};
  Result<MysqlStatement*> insert = Prepare(InsertSql(into, rows.columns().size(), 1, suffix));
  if (!insert) return Fail(insert.error());
  for (size_t begin = 0; begin < rows.size();) {
    const Result<size_t> end = ChunkEnd(rows, begin, kArrayRows);
    if (!end) return Fail(end.error());
    if (Status run = (*insert)->RunArrays(rows, begin, *end); !run) return run;
    begin = *end;
  }
  return {};
}

Status MysqlConnection::InsertMultiRow(std::string_view into, const MysqlRows& rows, std::string_view suffix) {
  for (size_t begin = 0; begin < rows.size();) {
    const Result<size_t> most = ChunkEnd(rows, begin, kMultiRows.front());
    if (!most) return Fail(most.error());
    const size_t count = *std::ranges::find_if(kMultiRows, [&](size_t n) { return n <= *most - begin; });
    Result<MysqlStatement*> insert = Prepare(InsertSql(into, rows.columns().size(), count, suffix));
    if (!insert) return Fail(insert.error());
    for (size_t row = begin; row < begin + count; ++row) {
      for (const MysqlColumn& column : rows.columns()) {
        if (column.is_text) {
          (*insert)->BindText({column.texts[row], column.lengths[row]});
        } else {
          (*insert)->Bind(static_cast<int64_t>(column.numbers[row]));
        }
      }
    }
    if (Status run = (*insert)->Run(); !run) return run;
    begin += count;
  }
  return {};
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
