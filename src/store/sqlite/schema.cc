#include "store/sqlite/schema.h"

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "store/rows.h"
#include "store/sqlite/label_blocks.h"

namespace mi::store {
namespace {

// `sql`, then `move` (which moves rows that SQL cannot move), then `then`.
struct Migration {
  std::string_view sql;
  Status (*move)(sqlite::Database&) = nullptr;
  std::string_view then;
};

// kMigrations[n] leads from version n to n + 1. Never edit one that was released; add the next one.
constexpr std::array<Migration, kSqliteSchemaVersion> kMigrations = {
    {{R"sql(
CREATE TABLE schema_version (
  version INTEGER NOT NULL,
  catalog_uuid TEXT NOT NULL,
  secret_check TEXT NOT NULL            -- 16 hex digits
);
CREATE TABLE metric_basic_label (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  env TEXT NOT NULL,
  service TEXT NOT NULL,
  __name__ TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE
);
CREATE TABLE metric (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- an id that was given is never given again
  metric_basic_label_id INTEGER NOT NULL,
  fingerprint BLOB NOT NULL UNIQUE,     -- before the long column: reading it need not pass over the content
  metric TEXT NOT NULL
);
CREATE TABLE metric_seen (
  metric_id INTEGER PRIMARY KEY,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL
);
CREATE TABLE metric_label_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE);
CREATE TABLE metric_label_value (id INTEGER PRIMARY KEY, value TEXT NOT NULL, hash BLOB NOT NULL UNIQUE);
CREATE TABLE metric_label (
  metric_label_name_id INTEGER NOT NULL,
  metric_label_value_id INTEGER NOT NULL,
  metric_id INTEGER NOT NULL,
  PRIMARY KEY (metric_label_name_id, metric_label_value_id, metric_id)
) WITHOUT ROWID;
CREATE TABLE metric_metadata (
  tenant TEXT NOT NULL,
  metric_family TEXT NOT NULL,
  type TEXT NOT NULL,
  help TEXT NOT NULL,
  unit TEXT NOT NULL,
  last_seen INTEGER NOT NULL,
  PRIMARY KEY (tenant, metric_family)
);
CREATE TABLE stream_position (
  stream TEXT NOT NULL,
  partition_id INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  PRIMARY KEY (stream, partition_id)
) WITHOUT ROWID;

CREATE VIEW v_series AS
SELECT m.id AS id, b.tenant AS tenant, b.env AS env, b.service AS service, b.__name__ AS name, m.metric AS content,
       lower(hex(m.fingerprint)) AS fingerprint, s.first_seen AS first_seen, s.last_seen AS last_seen,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.first_seen / 1000, 'unixepoch') AS first_seen_utc,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.last_seen / 1000, 'unixepoch') AS last_seen_utc
FROM metric m
JOIN metric_basic_label b ON b.id = m.metric_basic_label_id
JOIN metric_seen s ON s.metric_id = m.id;

CREATE VIEW v_series_label AS
SELECT l.metric_id AS metric_id, n.name AS name, v.value AS value
FROM metric_label l
JOIN metric_label_name n ON n.id = l.metric_label_name_id
JOIN metric_label_value v ON v.id = l.metric_label_value_id;
)sql"},
     {R"sql(
ALTER TABLE schema_version RENAME TO schema_version_1;
CREATE TABLE schema_version (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  catalog_uuid TEXT NOT NULL,
  secret_check TEXT NOT NULL,           -- 16 hex digits
  identity_secret TEXT NOT NULL         -- that the catalogue keeps; '' if it was made with the option's
);
INSERT INTO schema_version SELECT 1, version, catalog_uuid, secret_check, '' FROM schema_version_1;
DROP TABLE schema_version_1;

ALTER TABLE metric_metadata RENAME TO metric_metadata_1;
CREATE TABLE metric_metadata (
  tenant TEXT NOT NULL,
  metric_family TEXT NOT NULL,
  slot INTEGER NOT NULL,                -- 0 to 9: several texts of one family
  type TEXT NOT NULL,
  help TEXT NOT NULL,
  unit TEXT NOT NULL,
  last_seen INTEGER NOT NULL,
  PRIMARY KEY (tenant, metric_family, slot)
);
INSERT INTO metric_metadata SELECT tenant, metric_family, 0, type, help, unit, last_seen FROM metric_metadata_1;
DROP TABLE metric_metadata_1;
)sql"},
     {R"sql(
DROP VIEW v_series_label;
DROP VIEW v_series;

CREATE TABLE metric_3 (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- an id that was given is never given again
  metric_basic_label_id INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,            -- before the long column: reading it need not pass over the content
  metric TEXT NOT NULL
);
INSERT INTO metric_3 SELECT * FROM metric;
DELETE FROM sqlite_sequence WHERE name = 'metric_3';
INSERT INTO sqlite_sequence (name, seq) SELECT 'metric_3', seq FROM sqlite_sequence WHERE name = 'metric';
DROP TABLE metric;
ALTER TABLE metric_3 RENAME TO metric;

ALTER TABLE metric_label RENAME TO metric_label_2;
CREATE TABLE metric_label_block (
  metric_label_name_id INTEGER NOT NULL,
  metric_label_value_id INTEGER NOT NULL,
  first_metric_id INTEGER NOT NULL,
  metric_ids TEXT NOT NULL,             -- a JSON array of n and [from,to], distances to first_metric_id
  PRIMARY KEY (metric_label_name_id, metric_label_value_id, first_metric_id)
) WITHOUT ROWID;
CREATE VIEW metric_label AS
SELECT b.metric_label_name_id AS metric_label_name_id, b.metric_label_value_id AS metric_label_value_id,
       s.metric_id AS metric_id
FROM metric_label_block b
JOIN json_each(iif(json_valid(b.metric_ids), b.metric_ids, '[]')) j
JOIN metric_seen s
  ON s.metric_id BETWEEN b.first_metric_id + iif(j.type = 'array', json_extract(j.value, '$[0]'), j.value)
                     AND b.first_metric_id + iif(j.type = 'array', json_extract(j.value, '$[1]'), j.value);

CREATE VIEW v_series AS
SELECT m.id AS id, b.tenant AS tenant, b.env AS env, b.service AS service, b.__name__ AS name, m.metric AS content,
       lower(hex(m.fingerprint)) AS fingerprint, s.first_seen AS first_seen, s.last_seen AS last_seen,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.first_seen / 1000, 'unixepoch') AS first_seen_utc,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.last_seen / 1000, 'unixepoch') AS last_seen_utc
FROM metric m
JOIN metric_basic_label b ON b.id = m.metric_basic_label_id
JOIN metric_seen s ON s.metric_id = m.id;

CREATE VIEW v_series_label AS
SELECT l.metric_id AS metric_id, n.name AS name, v.value AS value
FROM metric_label l
JOIN metric_label_name n ON n.id = l.metric_label_name_id
JOIN metric_label_value v ON v.id = l.metric_label_value_id;
)sql",
      [](sqlite::Database& database) { return MakeLabelBlocks(database, "metric_label_2"); },
      R"sql(
DROP TABLE metric_label_2;
)sql"}}};

constexpr std::string_view kSqliteTables =
    "'metric', 'metric_basic_label', 'metric_seen', 'metric_label', 'metric_label_name', 'metric_label_value', "
    "'metric_metadata', 'stream_position'";

// A random UUID, version 4.
constexpr std::string_view kUuidSql =
    "SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' "
    "|| substr(h, 21) AS uuid FROM (SELECT lower(hex(randomblob(16))) AS h)";

Result<std::vector<std::string>> TextColumn(sqlite::Database& database, std::string_view sql) {
  sqlite::Statement select = TRY(database.Prepare(sql));
  std::vector<std::string> values;
  while (TRY(select.Step())) values.emplace_back(select.Text(0));
  return values;
}

// What a person can do about tables that are not ours.
Status RefuseForeignTables(sqlite::Database& database, std::string_view a_table) {
  const std::vector<std::string> ours = TRY(TextColumn(
      database, format("SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ({})", kSqliteTables)));
  if (ours.empty()) {
    return Fail(Errc::kInvalid, format("{} is the database of another program (it has a table {}): give metric-index "
                                       "a data directory of its own (app.data_dir)",
                                       database.path(), a_table));
  }
  std::string renames;
  for (const std::string& table : ours) renames += format(" ALTER TABLE {} RENAME TO legacy_{};", table, table);
  return Fail(Errc::kInvalid,
              format("{} holds tables of the older service, without schema_version, and they are left untouched. Stop "
                     "its consumers (its producers may go on), run this in sqlite3:{} and start again: the stream is "
                     "replayed into new tables. Or move the file away",
                     database.path(), renames));
}

// Nothing: an empty database. An error: tables that are not ours.
Result<std::optional<SchemaRow>> ReadSchemaRow(sqlite::Database& database) {
  // legacy_*: what the instructions above leave behind.
  const std::vector<std::string> tables =
      TRY(TextColumn(database,
                     "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' AND "
                     "name NOT GLOB 'legacy_*'"));
  if (tables.empty()) return std::nullopt;
  const int64_t known =
      TRY(database.QueryInt("SELECT count(*) FROM pragma_table_info('schema_version') WHERE name = 'catalog_uuid'"));
  if (known == 0) TRY(RefuseForeignTables(database, tables.front()));
  // From version 2 on there is a secret.
  const int64_t keeps_secret =
      TRY(database.QueryInt("SELECT count(*) FROM pragma_table_info('schema_version') WHERE name = 'identity_secret'"));
  sqlite::Statement select =
      TRY(database.Prepare(format("SELECT version, catalog_uuid, secret_check, {} FROM schema_version",
                                  keeps_secret != 0 ? "identity_secret" : "''")));
  if (!TRY(select.Step())) {
    return Fail(Errc::kCorrupt, format("{}: schema_version has no row: restore a backup", database.path()));
  }
  return SchemaRow{static_cast<uint64_t>(select.Int(0)), std::string(select.Text(1)), std::string(select.Text(2)),
                   std::string(select.Text(3))};
}

Result<CatalogIdentity> CheckRow(const sqlite::Database& database, const SchemaRow& row,
                                 const std::string& configured_secret) {
  return CheckSchemaRow(row, kSqliteSchemaVersion, configured_secret, database.path(), "app.data_dir");
}

Status RunMigration(sqlite::Database& database, const Migration& migration) {
  TRY(database.Exec(std::string(migration.sql)));
  if (migration.move != nullptr) TRY(migration.move(database));
  return database.Exec(std::string(migration.then));
}

// Debian's SQLite writes zeros over the pages of a table that is dropped, through the WAL.
Status Migrate(sqlite::Database& database, uint64_t from) {
  TRY(database.Exec("PRAGMA secure_delete=OFF"));
  for (size_t version = from; version < kMigrations.size(); ++version) {
    TRY_WITHIN(RunMigration(database, kMigrations[version]), format("schema migration {} to {}", version, version + 1));
  }
  return {};
}

// Requires: the tables of the current version, a catalogue without a row.
Result<SchemaRow> WriteFirstRow(sqlite::Database& database, const IdentitySecrets& secrets) {
  SchemaRow row = NewSchemaRow(kSqliteSchemaVersion, secrets);
  row.uuid = TRY(TextColumn(database, kUuidSql)).at(0);
  sqlite::Statement insert = TRY(database.Prepare("INSERT INTO schema_version VALUES (1, ?, ?, ?, ?)"));
  insert.Bind(1, kSqliteSchemaVersion).BindText(2, row.uuid);
  TRY(insert.BindText(3, row.secret_check).BindText(4, row.identity_secret).Run());
  return row;
}

}  // namespace

std::string SqliteSchemaText(const IdentitySecrets& secrets) {
  const SchemaRow row = NewSchemaRow(kSqliteSchemaVersion, secrets);
  std::string sql = format(
      "-- metric-index: schema version {} of the catalogue. sqlite3 <app.data_dir>/catalog.db < this file\n"
      "BEGIN IMMEDIATE;",
      kSqliteSchemaVersion);
  for (const Migration& migration : kMigrations) sql.append(migration.sql).append(migration.then);
  sql += format(
      "\nINSERT INTO schema_version (id, version, catalog_uuid, secret_check, identity_secret)\n"
      "SELECT 1, {}, uuid, '{}', '{}' FROM ({});\nCOMMIT;\n",
      row.version, row.secret_check, row.identity_secret, kUuidSql);
  return sql;
}

Status RefuseForeignSqlite(sqlite::Database& database) {
  TRY(ReadSchemaRow(database));
  return {};
}

// One transaction, since DDL in SQLite can be rolled back: after a crash there is all of the new schema or none of it.
// BEGIN IMMEDIATE takes the write lock before the look. So of two processes that start at once the second one waits,
// and then finds the tables.
Result<CatalogIdentity> EnsureSqliteSchema(sqlite::Database& database, const IdentitySecrets& secrets) {
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database));
  std::optional<SchemaRow> row = TRY(ReadSchemaRow(database));
  if (row) {
    CatalogIdentity identity = TRY(CheckRow(database, *row, secrets.configured));
    if (row->version == kSqliteSchemaVersion) return identity;
  }
  TRY(Migrate(database, row ? row->version : 0));
  if (!row) row = TRY(WriteFirstRow(database, secrets));
  TRY(database.Exec(format("UPDATE schema_version SET version = {}", kSqliteSchemaVersion)));
  TRY(transaction.Commit());
  return CheckRow(database, *row, secrets.configured);
}

Result<CatalogIdentity> CheckSqliteSchema(sqlite::Database& database, const std::string& configured_secret) {
  const std::optional<SchemaRow> row = TRY(ReadSchemaRow(database));
  if (!row) return Fail(Errc::kUnavailable, format("{} has no tables yet", database.path()));
  return CheckRow(database, *row, configured_secret);
}

}  // namespace mi::store
