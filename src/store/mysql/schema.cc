#include "store/mysql/schema.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "base/format.h"
#include "store/dictionary.h"
#include "store/rows.h"

namespace mi::store {
namespace {

// Of the current version. It has a primary key from version 2 on: Group Replication changes no row without one, and the
// key makes the first row the only one.
constexpr std::string_view kVersionTable =
    R"sql(CREATE TABLE IF NOT EXISTS schema_version (
  id TINYINT UNSIGNED NOT NULL DEFAULT 1 PRIMARY KEY,
  version INT UNSIGNED NOT NULL,
  catalog_uuid CHAR(36) NOT NULL,
  secret_check CHAR(16) NOT NULL,          -- hex digits
  identity_secret VARCHAR(64) NOT NULL DEFAULT '' -- that the catalogue keeps; '' if it was made with the option's
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql";

// From version 0, an empty database with its row in schema_version, to 1. DDL commits by itself, so each statement may
// find its work done by a start that was interrupted. Never edit a version that was released; add the next one.
constexpr std::string_view kToVersion1[] = {
    R"sql(CREATE TABLE IF NOT EXISTS metric_basic_label (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  tenant VARCHAR(150) NOT NULL,
  env MEDIUMTEXT NOT NULL,
  service MEDIUMTEXT NOT NULL,
  __name__ MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  metric_basic_label_id BIGINT UNSIGNED NOT NULL,
  fingerprint BINARY(16) NOT NULL,
  metric MEDIUMTEXT NOT NULL,
  UNIQUE KEY fingerprint (fingerprint)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_seen (
  metric_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  changed BIGINT UNSIGNED NOT NULL,        -- ms, by the server's clock, when this row was written
  KEY changed (changed)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_label_name (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  name MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_label_value (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  value MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_label (
  metric_label_name_id BIGINT UNSIGNED NOT NULL,
  metric_label_value_id BIGINT UNSIGNED NOT NULL,
  metric_id BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (metric_label_name_id, metric_label_value_id, metric_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_metadata (
  tenant VARCHAR(150) NOT NULL,
  metric_family MEDIUMTEXT NOT NULL,
  type MEDIUMTEXT NOT NULL,
  help MEDIUMTEXT NOT NULL,
  unit MEDIUMTEXT NOT NULL,
  last_seen BIGINT NOT NULL,
  hash BINARY(16) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS stream_position (
  stream VARCHAR(255) NOT NULL,
  partition_id INT NOT NULL,
  next_offset BIGINT NOT NULL,
  hash BINARY(16) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_next_id (
  name VARCHAR(64) NOT NULL PRIMARY KEY,   -- of the table
  next_id BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(INSERT INTO metric_next_id (name, next_id) VALUES
  ('metric', 1), ('metric_basic_label', 1), ('metric_label_name', 1), ('metric_label_value', 1)
ON DUPLICATE KEY UPDATE next_id = next_id)sql",
    R"sql(CREATE OR REPLACE SQL SECURITY INVOKER VIEW v_series AS
SELECT m.id AS id, b.tenant AS tenant, b.env AS env, b.service AS service, b.__name__ AS name, m.metric AS content,
       LOWER(HEX(m.fingerprint)) AS fingerprint, s.first_seen AS first_seen, s.last_seen AS last_seen,
       DATE_FORMAT(TIMESTAMPADD(SECOND, s.first_seen DIV 1000, '1970-01-01'), '%Y-%m-%dT%H:%i:%sZ') AS first_seen_utc,
       DATE_FORMAT(TIMESTAMPADD(SECOND, s.last_seen DIV 1000, '1970-01-01'), '%Y-%m-%dT%H:%i:%sZ') AS last_seen_utc
FROM metric m
JOIN metric_basic_label b ON b.id = m.metric_basic_label_id
JOIN metric_seen s ON s.metric_id = m.id)sql",
    R"sql(CREATE OR REPLACE SQL SECURITY INVOKER VIEW v_series_label AS
SELECT l.metric_id AS metric_id, n.name AS name, v.value AS value
FROM metric_label l
JOIN metric_label_name n ON n.id = l.metric_label_name_id
JOIN metric_label_value v ON v.id = l.metric_label_value_id)sql"};

// ALTER TABLE schema_version, from version 1 to 2.
constexpr std::string_view kToVersion2 =
    "ADD COLUMN id TINYINT UNSIGNED NOT NULL DEFAULT 1 FIRST, "
    "ADD COLUMN identity_secret VARCHAR(64) NOT NULL DEFAULT '', ADD PRIMARY KEY (id)";

constexpr std::string_view kMysqlTables[] = {"metric",          "metric_basic_label", "metric_seen",
                                             "metric_label",    "metric_label_name",  "metric_label_value",
                                             "metric_metadata", "metric_next_id",     "stream_position"};

// What is in the database.
struct Found {
  std::vector<std::string> version_columns;  // of schema_version, if it is ours
  std::vector<std::string> ours;             // tables with names of ours, without schema_version
  std::vector<std::string> all;
  std::optional<SchemaRow> row;
  CatalogIdentity identity;  // if there is a row

  bool Has(std::string_view table) const { return std::ranges::find(all, table) != all.end(); }
  bool HasVersionColumn(std::string_view column) const {
    return std::ranges::find(version_columns, column) != version_columns.end();
  }
  bool HasVersionTable() const { return !version_columns.empty(); }
  bool IsCurrent() const { return row && row->version == kMysqlSchemaVersion; }
};

std::string Where(const MysqlConnection& connection) {
  return format("database \"{}\" at {}", connection.options().db_name, AddressOf(connection.options()));
}

std::string QuoteName(std::string_view name) {
  std::string quoted = "`";
  for (const char c : name) quoted += c == '`' ? std::string("``") : std::string(1, c);
  return quoted + "`";
}

std::string RenameToLegacy(std::string_view table) {
  return format("{} TO {}", QuoteName(table), QuoteName(format("legacy_{}", table)));
}

Result<std::vector<std::string>> TextColumn(MysqlConnection& connection, std::string_view sql) {
  MysqlStatement* select = TRY(connection.Query(sql));
  std::vector<std::string> values;
  while (TRY(select->Fetch())) values.emplace_back(select->Text(0));
  return values;
}

Result<Found> Look(MysqlConnection& connection) {
  Found found;
  found.all = TRY(TextColumn(
      connection, "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE()"));
  for (const std::string& table : found.all) {
    if (std::ranges::find(kMysqlTables, table) != std::end(kMysqlTables)) found.ours.push_back(table);
  }
  found.version_columns = TRY(
      TextColumn(connection,
                 "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() AND "
                 "table_name = 'schema_version'"));
  // Another program may have a table schema_version, too.
  if (!found.HasVersionColumn("catalog_uuid")) found.version_columns.clear();
  if (!found.HasVersionTable()) return found;
  // Version 1 allowed several rows: processes that started at once on several nodes of a cluster each wrote one.
  MysqlStatement* row =
      TRY(connection.Query(format("SELECT version, catalog_uuid, secret_check, {} FROM schema_version "
                                  "ORDER BY catalog_uuid LIMIT 1",
                                  found.HasVersionColumn("identity_secret") ? "identity_secret" : "''")));
  if (TRY(row->Fetch())) {
    found.row = {row->Number(0), std::string(row->Text(1)), std::string(row->Text(2)), std::string(row->Text(3))};
  }
  return found;
}

Status Check(const MysqlConnection& connection, Found& found, const std::string& configured_secret) {
  if (!found.HasVersionTable() && !found.ours.empty()) {
    std::string renames;
    for (const std::string& table : found.ours) renames += (renames.empty() ? "" : ", ") + RenameToLegacy(table);
    return Fail(Errc::kInvalid,
                format("{} holds tables of the older service (metric and others, without our schema_version), and they "
                       "are left untouched. Stop its consumers (its producers may go on), run `metric-index schema "
                       "adopt`, which is RENAME TABLE {}; and start again: a replay of the topic fills new tables. Or "
                       "name another database (mysql.db_name)",
                       Where(connection), renames));
  }
  if (found.row) {
    found.identity = TRY(CheckSchemaRow(*found.row, kMysqlSchemaVersion, configured_secret, Where(connection),
                                        "database (mysql.db_name)"));
    return {};
  }
  if (!found.HasVersionTable() || found.ours.empty()) return {};
  return Fail(Errc::kCorrupt, format("{}: schema_version has no row: restore a backup", Where(connection)));
}

Result<Found> LookAndCheck(MysqlConnection& connection, const std::string& configured_secret) {
  Found found = TRY(Look(connection));
  TRY(Check(connection, found, configured_secret));
  return found;
}

// Takes a lock of the whole server, by the database's name. The end of the connection frees it.
Status LockSchema(MysqlConnection& connection) {
  constexpr int64_t kPatienceSeconds = kMysqlSchemaLockPatience.count();
  std::string name = "metric-index/";  // and a hash, since names of locks are short
  for (const char byte : DictionaryHash(connection.options().db_name)) {
    AppendFormat(name, "{:02x}", static_cast<unsigned char>(byte));
  }
  MysqlStatement* take =
      TRY_WITHIN(connection.Query("SELECT GET_LOCK(?, ?)", name, kPatienceSeconds), "GET_LOCK");  // NULL is read as 0
  if (TRY(take->Fetch()) && take->Number(0) == 1) return {};
  return Fail(Errc::kUnavailable, format("{}: another process has been making the tables for {} s (lock {})",
                                         Where(connection), kPatienceSeconds, name));
}

// Writes the first row if no other process has; returns what is there then. A process on another node of a cluster may
// write one at the same moment: the cluster commits one of them, and the other one is a conflict.
Result<Found> WriteFirstRow(MysqlConnection& connection, const IdentitySecrets& secrets) {
  const SchemaRow row = NewSchemaRow(0, secrets);
  const uint64_t faults = connection.faults();
  const Result<MysqlStatement*> written = connection.Query(
      "INSERT INTO schema_version (id, version, catalog_uuid, secret_check, identity_secret) "
      "VALUES (1, 0, UUID(), ?, ?) ON DUPLICATE KEY UPDATE id = id",
      row.secret_check, row.identity_secret);
  if (!written && !connection.HasConflictSince(faults)) return Fail(written.error());
  Found found = TRY(LookAndCheck(connection, secrets.configured));
  if (found.row) return found;
  return Fail(Errc::kUnavailable, format("{}: another process makes the tables", Where(connection)));
}

// To the current version. A server may make a primary key of its own, the column my_row_id, for a table that has none.
Status MigrateVersionTable(MysqlConnection& connection, const Found& found) {
  if (!found.HasVersionTable()) return connection.Exec(kVersionTable);
  if (found.HasVersionColumn("identity_secret")) return {};
  if (found.row) TRY(connection.Query("DELETE FROM schema_version WHERE catalog_uuid > ?", found.row->uuid));
  const bool made_key = found.HasVersionColumn("my_row_id");
  return connection.Exec(format("ALTER TABLE schema_version {}{}",
                                made_key ? "DROP PRIMARY KEY, DROP COLUMN my_row_id, " : "", kToVersion2));
}

// Requires: schema_version is the current version's.
Status MigrateTables(MysqlConnection& connection, uint64_t from) {
  if (from < 1) {
    for (const std::string_view sql : kToVersion1) TRY_WITHIN(connection.Exec(sql), "schema migration 0 to 1");
  }
  TRY(connection.Query("UPDATE schema_version SET version = ?", kMysqlSchemaVersion));
  return {};
}

}  // namespace

std::string MysqlDatabaseSql(std::string_view db_name) {
  return format("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", QuoteName(db_name));
}

std::string MysqlSchemaText(std::string_view db_name, std::string_view user, const IdentitySecrets& secrets) {
  // A comment must stay one line, whatever the configuration contains.
  std::string name(user);
  std::ranges::replace_if(name, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\''; }, '?');
  std::string sql = format(
      "-- metric-index: schema version {} of the catalogue. Run it as an administrator of the server; the service "
      "itself then needs no more than:\n"
      "--   GRANT SELECT, INSERT, UPDATE ON {}.* TO '{}'@'<host>';\n"
      "{};\nUSE {};\n{};\n",
      kMysqlSchemaVersion, QuoteName(db_name), name, MysqlDatabaseSql(db_name), QuoteName(db_name), kVersionTable);
  for (const std::string_view statement : kToVersion1) sql += format("{};\n", statement);
  // MySQL has no ADD COLUMN IF NOT EXISTS.
  sql += format(
      "SET @migration = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND "
      "table_name = 'schema_version' AND column_name = 'identity_secret') = 0,\n  \"ALTER TABLE schema_version {}\", "
      "'DO 0');\nPREPARE migration FROM @migration;\nEXECUTE migration;\nDEALLOCATE PREPARE migration;\n",
      kToVersion2);
  // The row comes last: it says that all the rest is there.
  const SchemaRow row = NewSchemaRow(kMysqlSchemaVersion, secrets);
  sql += format(
      "INSERT INTO schema_version (id, version, catalog_uuid, secret_check, identity_secret)\n"
      "VALUES (1, {}, UUID(), '{}', '{}') ON DUPLICATE KEY UPDATE version = GREATEST(version, {});\n",
      row.version, row.secret_check, row.identity_secret, row.version);
  return sql;
}

Result<CatalogIdentity> CheckMysqlSchema(MysqlConnection& connection, const std::string& configured_secret) {
  const Found found = TRY(LookAndCheck(connection, configured_secret));
  if (found.IsCurrent()) return found.identity;
  const bool older = found.row && found.row->version > 0;
  return Fail(Errc::kUnavailable,
              format("{} {}: the role consumer, query or all {} when it starts, or an administrator runs what "
                     "`metric-index schema mysql` prints",
                     Where(connection),
                     older ? format("has schema version {}, this version of metric-index needs {}", found.row->version,
                                    kMysqlSchemaVersion)
                           : "has no tables yet",
                     older ? "migrates it" : "makes them"));
}

Result<std::optional<CatalogIdentity>> FindMysqlSchema(MysqlConnection& connection,
                                                       const std::string& configured_secret) {
  const Found found = TRY(LookAndCheck(connection, configured_secret));
  return found.IsCurrent() ? std::optional(found.identity) : std::nullopt;
}

// DDL in MySQL commits by itself, so a start may be interrupted after each step. The next start goes on:
//
//   schema_version, no row, no tables     the row is inserted
//   row with version 0, some tables       each CREATE finds its table, or makes it
//   row with version 1                    schema_version is altered, unless it was altered before the interruption
//   row with the current version          nothing to do
//
// The row of version 0 comes before the tables, so that a start that is interrupted does not look like the older
// service. The version changes when everything else is done. The lock keeps other processes of this version out; each
// looks again after it got the lock, and usually finds the work done.
Result<CatalogIdentity> MakeMysqlSchema(MysqlConnection& connection, const IdentitySecrets& secrets) {
  assert(connection.purpose() == MysqlConnection::Purpose::kPrepare);
  TRY(LockSchema(connection));
  Found found = TRY(LookAndCheck(connection, secrets.configured));
  if (found.IsCurrent()) return found.identity;
  TRY_WITHIN(MigrateVersionTable(connection, found), "schema migration of schema_version");
  if (!found.row) found = TRY(WriteFirstRow(connection, secrets));
  if (!found.IsCurrent()) TRY(MigrateTables(connection, found.row->version));
  return found.identity;
}

Result<std::vector<std::string>> AdoptMysqlTables(MysqlConnection& connection) {
  TRY(LockSchema(connection));
  const Found found = TRY(Look(connection));
  if (found.HasVersionTable()) {
    return Fail(Errc::kInvalid, format("{} holds metric-index' own tables: nothing to adopt", Where(connection)));
  }
  std::vector<std::string> renames;
  if (found.ours.empty()) return renames;
  std::vector<std::string> tables = found.ours;
  if (found.Has("schema_version")) tables.emplace_back("schema_version");
  std::string sql;
  for (const std::string& table : tables) {
    if (found.Has("legacy_" + table)) {
      return Fail(Errc::kInvalid,
                  format("{} holds legacy_{} already, from an earlier adoption: rename or drop it first",
                         Where(connection), table));
    }
    renames.push_back(RenameToLegacy(table));
    sql += format("{}{}", sql.empty() ? "RENAME TABLE " : ", ", renames.back());
  }
  TRY(connection.Exec(sql));
  return renames;
}

}  // namespace mi::store
