#include "stream/ports.h"

namespace mi::stream {

PublishResult AllFailed(const model::SeriesBatch& batch, const Error& error) {
  PublishResult result;
  result.failures.reserve(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) result.failures.push_back({i, error});
  if (!batch.metadata().empty()) result.metadata_failure = error;
  return result;
}

}  // namespace mi::stream
