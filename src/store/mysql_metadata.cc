// MysqlSeriesStore: what is said about metrics.
#include "store/mysql_series_store.h"

#include <map>
#include <tuple>

#include "model/identity.h"
#include "store/dictionary_hash.h"
#include "store/mysql_select_in.h"

namespace mi::store {

Status MysqlSeriesStore::ApplyMetadata(MysqlConnection& connection, const ApplyCall& call) {
  // The latest word on each family of the call; by hash, the order of the key.
  struct Row {
    const std::string* tenant;
    int64_t last_seen_ms;
    const model::MetricMetadata* metadata;
    auto Rank() const { return std::tie(last_seen_ms, metadata->type, metadata->help, metadata->unit); }
  };
  std::map<std::string, Row> rows;
  for (const model::SeriesBatch& batch : call.batches) {
    for (const model::MetricMetadata& metadata : batch.metadata()) {
      text_.clear();
      AppendNetstring(batch.tenant().name(), text_);
      AppendNetstring(metadata.family, text_);
      for (const std::string* text : {&metadata.family, &metadata.type, &metadata.help, &metadata.unit}) {
        if (!model::IsValidUtf8(*text)) return Fail(Errc::kInvalid, "metadata that is not UTF-8");
      }
      const Row row{&batch.tenant().name(), batch.seen_at_ms(), &metadata};
      const auto [at, fresh] = rows.try_emplace(DictionaryHashText(text_), row);
      if (!fresh && row.Rank() > at->second.Rank()) at->second = row;
    }
  }
  if (rows.empty()) return {};
  std::vector<std::string> hashes;
  hashes.reserve(rows.size());
  for (const auto& [hash, row] : rows) hashes.push_back(hash);
  const Status read = SelectIn(
      connection, "SELECT hash, last_seen, type, help, unit FROM metric_metadata FORCE INDEX (PRIMARY) WHERE hash IN",
      "ORDER BY hash FOR UPDATE", hashes.size(), [&](size_t i, MysqlStatement& select) { select.BindText(hashes[i]); },
      [&](const MysqlStatement& row) -> Status {
        const auto ours = rows.find(std::string(row.Text(0)));
        if (ours == rows.end()) return {};
        const model::MetricMetadata stored{"", std::string(row.Text(2)), std::string(row.Text(3)),
                                           std::string(row.Text(4))};
        if (ours->second.Rank() <= Row{nullptr, row.Signed(1), &stored}.Rank()) rows.erase(ours);
        return {};
      });
  if (!read) return read;
  MysqlRows insert("tttttnt");
  for (const auto& [hash, row] : rows) {
    insert.Text(*row.tenant).Text(row.metadata->family).Text(row.metadata->type).Text(row.metadata->help);
    insert.Text(row.metadata->unit).Number(row.last_seen_ms).Text(hash);
  }
  return connection.Insert("metric_metadata (tenant, metric_family, type, help, unit, last_seen, hash)", insert,
                           "ON DUPLICATE KEY UPDATE type = VALUES(type), help = VALUES(help), unit = VALUES(unit), "
                           "last_seen = VALUES(last_seen)");
}

}  // namespace mi::store
