// The requests to send: steady ones are encoded once and sent repeatedly, those with new series are made when needed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "codec/compression.h"
#include "codec/remote_write.h"
#include "loadgen/shape.h"

namespace mi::loadgen {

struct TrafficOptions {
  Shape shape = Shape::kNode;
  codec::Schema schema = codec::Schema::kV1;
  codec::Compression compression = codec::Compression::kSnappy;
  uint64_t series = 1000;  // that are sent repeatedly
  uint64_t batch = 2000;   // series per request
  uint64_t seed = 1;
};

// A request for the series [first, first + count).
struct Request {
  uint64_t first = 0;
  uint64_t count = 0;
  std::string body;
};

// Threads: immutable after construction.
class Traffic {
 public:
  explicit Traffic(const TrafficOptions& options);

  const std::vector<Request>& steady() const { return steady_; }
  Request Make(uint64_t first, uint64_t count) const;
  // Content-Type, Content-Encoding and version, as senders set them.
  std::vector<std::pair<std::string, std::string>> Headers() const;
  const TrafficOptions& options() const { return options_; }

 private:
  TrafficOptions options_;
  std::vector<Request> steady_;
};

}  // namespace mi::loadgen
