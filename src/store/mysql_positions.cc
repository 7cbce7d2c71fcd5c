// MysqlSeriesStore: how far each stream is applied.
#include "store/mysql_series_store.h"

#include <map>
#include <utility>

#include "base/format.h"
#include "store/dictionary_hash.h"

namespace mi::store {
namespace {

std::string PositionHash(std::string_view stream, int32_t partition) {
  std::string key;
  AppendNetstring(stream, key);
  AppendNetstring(format("{}", partition), key);
  return DictionaryHashText(key);
}

}  // namespace

Status MysqlSeriesStore::ApplyPositions(MysqlConnection& connection, const ApplyCall& call) {
  std::map<std::string, const StreamPosition*> sorted;
  for (const StreamPosition& position : call.positions) {
    sorted[PositionHash(position.stream, position.partition)] = &position;
  }
  MysqlRows rows("tnnt");
  for (const auto& [hash, position] : sorted) {
    if (Status checked = CheckPosition(connection, hash, *position); !checked) return checked;
    rows.Text(position->stream).Number(int64_t{position->partition}).Number(position->next_offset).Text(hash);
  }
  return connection.Insert("stream_position (stream, partition_id, next_offset, hash)", rows,
                           "ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset)");
}

Status MysqlSeriesStore::CheckPosition(MysqlConnection& connection, const std::string& hash,
                                       const StreamPosition& position) {
  if (!last_positions_.Knows(position)) return {};
  Result<MysqlStatement*> select =
      connection.Prepare("SELECT next_offset FROM stream_position WHERE hash = ? FOR UPDATE");
  if (!select) return Fail(select.error());
  if (Status run = (*select)->BindText(hash).Run(); !run) return run;
  const Result<bool> row = (*select)->Fetch();
  if (!row) return Fail(row.error());
  return last_positions_.Check(position, *row ? std::optional((*select)->Signed(0)) : std::nullopt);
}

Result<std::optional<int64_t>> MysqlSeriesStore::Position(const std::string& stream, int32_t partition) {
  Result<std::optional<int64_t>> found = ReadPosition(stream, partition);
  if (!found) return found;
  // Who asks begins anew, perhaps because the database went back: ids that it gave since then are void.
  ForgetAll();
  last_positions_.Read(stream, partition, *found);
  return found;
}

Result<std::optional<int64_t>> MysqlSeriesStore::ReadPosition(const std::string& stream, int32_t partition) {
  return Repeat([&](MysqlConnection& connection) -> Result<std::optional<int64_t>> {
    Result<MysqlStatement*> select =
        connection.Prepare("SELECT next_offset, stream, partition_id FROM stream_position WHERE hash = ?");
    if (!select) return Fail(select.error());
    const std::string hash = PositionHash(stream, partition);
    if (Status run = (*select)->BindText(hash).Run(); !run) return Fail(run.error());
    const Result<bool> row = (*select)->Fetch();
    if (!row) return Fail(row.error());
    if (!*row) return std::nullopt;
    if ((*select)->Text(1) == stream && (*select)->Signed(2) == partition) return (*select)->Signed(0);
    return Fail(Errc::kCorrupt,
                format("stream_position: the hash of {}, partition {} is another's", stream, partition));
  });
}

Result<std::vector<StreamPosition>> MysqlSeriesStore::Checkpoint() {
  Result<std::vector<StreamPosition>> positions =
      Repeat([&](MysqlConnection& connection) -> Result<std::vector<StreamPosition>> {
        std::vector<StreamPosition> all;
        Result<MysqlStatement*> select =
            connection.Prepare("SELECT stream, partition_id, next_offset FROM stream_position");
        if (!select) return Fail(select.error());
        if (Status run = (*select)->Run(); !run) return Fail(run.error());
        for (;;) {
          const Result<bool> row = (*select)->Fetch();
          if (!row) return Fail(row.error());
          if (!*row) return all;
          all.push_back(
              {std::string((*select)->Text(0)), static_cast<int32_t>((*select)->Signed(1)), (*select)->Signed(2)});
        }
      });
  // Little or nothing new came, as on most days: the memory is for others then.
  if (std::exchange(inserted_since_checkpoint_, 0) < kQuietSeries) ForgetAll();
  return positions;
}

}  // namespace mi::store
