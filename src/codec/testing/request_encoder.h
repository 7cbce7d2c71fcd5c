// Makes remote-write requests, for tests and the load generator.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec/compression.h"
#include "codec/histogram.h"
#include "codec/remote_write.h"
#include "model/labels.h"
#include "model/series_batch.h"

namespace mi::codec {

struct WireSample {
  double value = 0;
  int64_t timestamp_ms = 0;
};

struct WireExemplar {
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  int64_t timestamp_ms = 0;
};

// Labels are written in the order in which they are listed here, sorted or not.
struct WireSeries {
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<WireSample> samples;
  std::vector<Histogram> histograms;
  std::vector<WireExemplar> exemplars;
  std::optional<model::MetricMetadata> metadata;  // 2.0; `family` is not written there
};

// Threads: confined to one.
class RequestEncoder {
 public:
  explicit RequestEncoder(Schema schema);
  ~RequestEncoder();
  RequestEncoder(RequestEncoder&&) noexcept;
  RequestEncoder& operator=(RequestEncoder&&) noexcept;

  void Add(const WireSeries& series);
  void AddMetadata(const model::MetricMetadata& metadata);  // 1.0 only

  // Returns the request so far, uncompressed, and starts a new one.
  std::string Finish();

 private:
  struct State;
  Schema schema_;
  std::unique_ptr<State> state_;
};

// The body of a request: its bytes in the envelope.
std::string Compress(Compression compression, std::string_view raw);
// A zstd frame of one raw block that declares only its window, of 2^log bytes.
std::string ZstdOfWindow(int log, std::string_view raw);

}  // namespace mi::codec
