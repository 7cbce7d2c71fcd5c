#include "loadgen/traffic.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "codec/testing/request_encoder.h"

namespace mi::loadgen {

// Ten million series take a minute of one core: all of them help.
Traffic::Traffic(const TrafficOptions& options)
    : options_(options), steady_((options.series + options.batch - 1) / options.batch) {
  std::atomic<size_t> next = 0;
  const auto encode = [&] {
    for (size_t i = next++; i < steady_.size(); i = next++) {
      const uint64_t first = i * options_.batch;
      steady_[i] = Make(first, std::min(options_.batch, options_.series - first));
    }
  };
  std::vector<std::jthread> others;
  for (unsigned i = 1; i < std::thread::hardware_concurrency() && i < steady_.size(); ++i) others.emplace_back(encode);
  encode();
}

Request Traffic::Make(uint64_t first, uint64_t count) const {
  using namespace std::chrono;
  const int64_t now_ms = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  codec::RequestEncoder encoder(options_.schema);
  for (uint64_t number = first; number < first + count; ++number) {
    encoder.Add({.labels = LabelsOf(options_.shape, options_.seed, number),
                 .samples = {{.value = static_cast<double>(number), .timestamp_ms = now_ms}}});
  }
  return {.first = first, .count = count, .body = codec::Compress(options_.compression, encoder.Finish())};
}

std::vector<std::pair<std::string, std::string>> Traffic::Headers() const {
  const bool v2 = options_.schema == codec::Schema::kV2;
  return {
      {"Content-Type", v2 ? "application/x-protobuf;proto=io.prometheus.write.v2.Request" : "application/x-protobuf"},
      {"Content-Encoding", std::string(codec::ToString(options_.compression))},
      {"X-Prometheus-Remote-Write-Version", v2 ? "2.0.0" : "0.1.0"},
      {"User-Agent", "metric-index-loadgen"}};
}

}  // namespace mi::loadgen
