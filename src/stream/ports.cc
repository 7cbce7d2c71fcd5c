#include "stream/ports.h"

namespace mi::stream {

PublishResult AllFailed(const model::SeriesBatch& batch, const Error& error) {
  PublishResult result;
  result.failures.reserve(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) result.failures.push_back({i, error});
  if (!batch.metadata().empty()) result.metadata_failure = error;
  return result;
}

StreamPosition Polled::PositionOf(size_t batch, size_t record) const {
  if (origins.empty()) return next.front();
  const size_t series_here = origins[batch].series.size();
  const Origin& origin =
      record < series_here ? origins[batch].series[record] : origins[batch].metadata[record - series_here];
  return {next[origin.part].stream, next[origin.part].partition, origin.next_offset};
}

}  // namespace mi::stream
