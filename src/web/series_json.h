// The answer of /api/v1/series, piece by piece: 300,000 series are 170 MB of JSON, of which one piece at a time is
// made.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "net/http.h"
#include "query/series_reader.h"

namespace mi::web {

inline constexpr size_t kChunkBytes = 128 << 10;  // a chunk ends with the first series that reaches it

// [{"__name__":"up","job":"a"},…] in its envelope. Threads: confined to one at a time.
class SeriesJson {
 public:
  SeriesJson(query::SeriesReader reader, std::vector<std::string> warnings)
      : reader_(std::move(reader)), warnings_(std::move(warnings)) {}

  // Appends the next piece. False once it was the last.
  bool AppendChunk(std::string& out);

 private:
  query::SeriesReader reader_;
  std::vector<std::string> warnings_;
  bool begun_ = false;
  bool first_ = true;
};

// What fits one chunk goes in one body, the rest is streamed from the snapshot that the reader holds.
net::Response SeriesResponse(query::SeriesReader reader, std::vector<std::string> warnings);

}  // namespace mi::web
