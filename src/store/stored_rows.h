// Conversions of rows that both readers select in the same column order. `Row` is sqlite::Statement or MysqlStatement.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/format.h"
#include "base/result.h"
#include "store/ports.h"

namespace mi::store {

// Requires: the id of the series is in column 0.
template <typename Row>
Result<model::Fingerprint> FingerprintAt(const Row& row, int column) {
  const std::string_view bytes = row.Blob(column);
  if (bytes.size() == 16) return model::Fingerprint::FromBytes(bytes);
  return Fail(Errc::kCorrupt, format("metric {}: its fingerprint has {} bytes, not 16", row.Int(0), bytes.size()));
}

// Columns: id, tenant, content, fingerprint, first_seen, last_seen.
template <typename Row>
Result<StoredSeries> StoredSeriesOf(const Row& row) {
  const model::Fingerprint fingerprint = TRY(FingerprintAt(row, 3));
  return StoredSeries{.id = static_cast<uint64_t>(row.Int(0)),
                      .tenant = row.Text(1),
                      .content = row.Text(2),
                      .fingerprint = fingerprint,
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

}  // namespace mi::store
