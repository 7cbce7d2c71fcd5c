// What the tests of the write handler share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/format.h"
#include "codec/testing/request_encoder.h"
#include "codec/testing/wire_bytes.h"
#include "model/identity.h"
#include "net/testing/fake_request.h"
#include "receive/testing/up_series.h"
#include "receive/write_handler.h"
#include "stream/testing/fake_stream.h"

namespace mi::receive {

using codec::Compression;
using codec::Schema;
using codec::WireSeries;
using stream::PublishResult;

// Keeps each batch until the test settles it.
class HeldPublisher final : public stream::SeriesPublisher {
 public:
  void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) override {
    batches.push_back(batch);
    waiting_.push_back(std::move(done));
    if (settle_at_once) SettleAll();
  }
  Status Health() const override { return {}; }

  void SettleAll(const PublishResult& result = {}) {
    while (!waiting_.empty()) {
      Done done = std::move(waiting_.front());
      waiting_.pop_front();
      done(result);
    }
  }
  // Every published series; twice if it was published twice.
  std::multiset<std::string> identities() const {
    std::multiset<std::string> all;
    for (const auto& batch : batches) {
      for (size_t i = 0; i < batch->size(); ++i) all.insert(model::FormatIdentity((*batch)[i].labels));
    }
    return all;
  }

  bool settle_at_once = true;
  std::vector<std::shared_ptr<const model::SeriesBatch>> batches;

 private:
  std::deque<Done> waiting_;
};

inline std::string Body(std::vector<WireSeries> series, Schema schema = Schema::kV1,
                        Compression compression = Compression::kSnappy) {
  codec::RequestEncoder encoder(schema);
  for (const WireSeries& one : series) encoder.Add(one);
  return codec::Compress(compression, encoder.Finish());
}

class WriteHandlerTest : public testing::Test {
 protected:
  net::FakeAnswer Send(std::string body, std::vector<std::pair<std::string, std::string>> headers = {},
                       std::string_view target = "/api/v1/write", std::string method = "POST") {
    net::FakeRequest request(std::move(method), target, std::move(body));
    for (auto& [name, value] : headers) request.With(name, value);
    return net::Ask(handler_, request);
  }
  net::Response SendNow(std::string body, std::vector<std::pair<std::string, std::string>> headers = {},
                        std::string_view target = "/api/v1/write", std::string method = "POST") {
    return Send(std::move(body), std::move(headers), target, std::move(method)).Take();
  }
  net::Response SendV2(std::vector<WireSeries> series) {
    return SendNow(Body(std::move(series), Schema::kV2),
                   {{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}});
  }
  void SetOptions(const std::function<void(ReceiveOptions&)>& change) {
    ReceiveOptions options = *options_.Get();
    change(options);
    options_.Set(options);
  }

  ManualClock clock_;
  std::unique_ptr<telemetry::Metrics> registry_ = telemetry::Metrics::Create();
  ReceiveMetrics metrics_{*registry_};
  std::unique_ptr<dedupe::SeenSet> seen_ = std::make_unique<dedupe::SeenSet>(dedupe::SeenOptions{}, clock_);
  std::unique_ptr<dedupe::SeenSet> seen_metadata_ = std::make_unique<dedupe::SeenSet>(dedupe::SeenOptions{}, clock_);
  dedupe::Claims claims_;
  HeldPublisher publisher_;
  stream::FakeActivity activity_;
  Live<ReceiveOptions> options_{ReceiveOptions{}};
  PublishOnce publish_once_{{*seen_, *seen_metadata_, claims_, publisher_, metrics_, clock_}};
  MemoryBudget memory_{uint64_t{1} << 30};
  LongWork long_work_{{.threads = 1}};
  Forwarder forwarder_;
  WriteHandler handler_{{{*seen_, *seen_metadata_, activity_, clock_, metrics_},
                         publish_once_,
                         options_,
                         long_work_,
                         memory_,
                         [this](const net::Request& request, const model::Tenant& tenant) {
                           return forwarder_ ? forwarder_(request, tenant) : nullptr;
                         }}};
};

inline std::vector<WireSeries> UpTo(size_t count, size_t value_bytes) {
  std::vector<WireSeries> series;
  for (size_t i = 0; i < count; ++i) series.push_back(Up(format("{:0{}}", i, value_bytes)));
  return series;
}

}  // namespace mi::receive
