// The answer of /api/v1/series, chunk by chunk: 300,000 series are 170 MB of JSON, of which only one chunk exists at a
// time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "net/http.h"
#include "query/series_reader.h"

namespace mi::web {

inline constexpr size_t kChunkBytes = 128 << 10;  // a chunk ends with the first series that reaches it

// An answer that fits one chunk is one body. A longer one is streamed from the snapshot that the reader holds.
net::Response SeriesResponse(query::SeriesReader reader, std::vector<std::string> warnings);

}  // namespace mi::web
