// What both adapters do alike with rows: INSERT, the conversion of rows that they select in the same column order, and
// the checks of schema_version. `Row` is sqlite::Statement or MysqlStatement.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/format.h"
#include "base/result.h"
#include "model/fingerprint.h"
#include "store/dictionary.h"
#include "store/identity_secrets.h"
#include "store/ports.h"

namespace mi::store {

// "INSERT INTO <into> VALUES (?, ...), ..." for many rows: with one row per statement, starting the statement costs as
// much as the row. `into` is the table with its columns, a constant: "metric_seen (metric_id, first_seen)".
inline std::string InsertSql(std::string_view into, size_t rows) {
  std::string row = "(?";
  for (const char c : into) row += c == ',' ? ", ?" : "";
  row += ")";
  std::string sql = format("INSERT INTO {} VALUES {}", into, row);
  for (size_t i = 1; i < rows; ++i) sql += ", " + row;
  return sql;
}

// A dictionary row that has the hash of a wanted one. The values begin in column `values`.
template <typename Row>
void SettleByRow(const Row& row, int id, int values, const DictionaryTable& table, Dictionary::Wanted& wanted) {
  bool same_values = true;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    same_values = same_values && row.Text(values + static_cast<int>(i)) == wanted.values[i];
  }
  wanted.Settle(static_cast<uint64_t>(row.Int(id)), same_values);
}

// The rows of a dictionary: id, hash, and the values. `where` follows the table's name.
inline std::string SelectDictionarySql(const DictionaryTable& table, std::string_view where) {
  std::string columns;
  for (const std::string_view column : table.columns) columns += format(", {}", column);
  return format("SELECT id, hash{} FROM {}{}", columns, table.name, where);
}

// The text whose hash is the key of a dictionary row (docs/formats/sql.md, "Hashes"). The values begin in column
// `first`.
template <typename Row>
std::string DictionaryKeyOf(const Row& row, int first, const DictionaryTable& table) {
  if (table.columns.size() == 1) return std::string(row.Text(first));
  std::string key;
  for (size_t i = 0; i < table.columns.size(); ++i) AppendNetstring(row.Text(first + static_cast<int>(i)), key);
  return key;
}

// Zeros if the row is damaged and has no 16 bytes there: no series has that fingerprint.
template <typename Row>
model::Fingerprint FingerprintAt(const Row& row, int column) {
  const std::string_view bytes = row.Blob(column);
  return bytes.size() == 16 ? model::Fingerprint::FromBytes(bytes) : model::Fingerprint();
}

// Columns: id, tenant, content, fingerprint, first_seen, last_seen. Checks nothing: the row may be damaged.
template <typename Row>
StoredSeries StoredSeriesOf(const Row& row) {
  return StoredSeries{.id = static_cast<uint64_t>(row.Int(0)),
                      .tenant = row.Text(1),
                      .content = row.Text(2),
                      .fingerprint = FingerprintAt(row, 3),
                      .first_seen_ms = row.Int(4),
                      .last_seen_ms = row.Int(5)};
}

// Columns: tenant, family, type, help, unit, last_seen.
template <typename Row>
Result<StoredMetadata> StoredMetadataOf(const Row& row) {
  Result<model::Tenant> tenant = model::Tenant::Parse(row.Text(0));
  if (!tenant) return Fail(Errc::kCorrupt, format("metric_metadata: {}", tenant.error().message()));
  return StoredMetadata{.tenant = *std::move(tenant),
                        .metadata = {.family = std::string(row.Text(1)),
                                     .type = std::string(row.Text(2)),
                                     .help = std::string(row.Text(3)),
                                     .unit = std::string(row.Text(4))},
                        .last_seen_ms = row.Int(5)};
}

// What CatalogReader::ReadSeriesIn requires.
inline bool AreAscending(std::span<const IdRange> ranges) {
  return std::ranges::adjacent_find(ranges, [](const IdRange& a, const IdRange& b) { return a.last >= b.first; }) ==
         ranges.end();
}

// Columns: stream, partition_id, next_offset.
template <typename Row>
StreamPosition StreamPositionOf(const Row& row) {
  return {std::string(row.Text(0)), static_cast<int32_t>(row.Int(1)), row.Int(2)};
}

// The row of schema_version.
struct SchemaRow {
  uint64_t version = 0;
  std::string uuid;
  std::string secret_check;     // 16 hex digits
  std::string identity_secret;  // that the catalogue keeps; '' if it was made with the option's
};

inline std::string SecretCheckText(std::string_view identity_secret) {
  return format("{:016x}", model::SecretCheck(identity_secret));
}

// The row of a new catalogue. A configured secret stays where it is configured: only its check value is kept.
inline SchemaRow NewSchemaRow(uint64_t version, const IdentitySecrets& secrets) {
  const bool configured = !secrets.configured.empty();
  return {.version = version,
          .uuid = {},
          .secret_check = SecretCheckText(configured ? secrets.configured : secrets.if_new),
          .identity_secret = configured ? "" : secrets.if_new};
}

// kInvalid, with what to do: a schema newer than `newest`, or a catalogue made with another identity.secret than
// `configured`. `where` is the database for messages; `elsewhere` is what a new catalogue would need: "database
// (mysql.db_name)".
inline Result<CatalogIdentity> CheckSchemaRow(const SchemaRow& row, uint64_t newest, const std::string& configured,
                                              std::string_view where, std::string_view elsewhere) {
  if (row.version > newest) {
    return Fail(Errc::kInvalid,
                format("{} has schema version {}, this binary knows up to {}: run the newer metric-index that made it, "
                       "or restore the backup from before",
                       where, row.version, newest));
  }
  CatalogIdentity identity{row.uuid, configured.empty() ? row.identity_secret : configured};
  const std::string ours = SecretCheckText(identity.secret);
  if (row.secret_check == ours) return identity;
  if (configured.empty() && !row.identity_secret.empty()) {
    return Fail(Errc::kCorrupt,
                format("{}: the secret in schema_version and its check value ({}) contradict each other", where,
                       row.secret_check));
  }
  const std::string_view advice = row.identity_secret.empty()
                                      ? "Put the old secret back"
                                      : "Leave identity.secret empty: the catalogue keeps its own";
  return Fail(Errc::kInvalid,
              format("{} was made with another identity.secret (its check is {}, ours {}): every fingerprint in it "
                     "would differ. {}, or begin a new catalogue in another {}",
                     where, row.secret_check, ours, advice, elsewhere));
}

}  // namespace mi::store
