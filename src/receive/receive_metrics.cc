#include "receive/receive_metrics.h"

#include "base/format.h"

namespace mi::receive {
namespace {

constexpr std::string_view kSeries = "receive_series_total";
constexpr std::string_view kSeriesHelp = "Series in requests that were read: known (durable before), new, or refused.";

constexpr std::string_view kReasons = "receive_refused_series_total";
constexpr std::string_view kReasonsHelp = "Series that were refused, by reason.";

}  // namespace

ReceiveMetrics::ReceiveMetrics(telemetry::Metrics& metrics)
    : known(metrics.GetCounter(kSeries, kSeriesHelp, {{"result", "known"}})),
      fresh(metrics.GetCounter(kSeries, kSeriesHelp, {{"result", "new"}})),
      refused(metrics.GetCounter(kSeries, kSeriesHelp, {{"result", "refused"}})),
      republished(metrics.GetCounter("receive_republished_series_total",
                                     "Known series that the shared tier has let go, published again.")),
      in_flight(metrics.GetGauge("receive_in_flight", "Write requests that wait for their series to become durable.")),
      metrics_(metrics),
      refused_by_stream_(metrics.GetCounter(kReasons, kReasonsHelp, {{"reason", "refused_by_stream"}})),
      seconds_(metrics.GetHistogram("receive_request_seconds", "From a write request's last byte to its answer.")) {
  for (size_t i = 1; i < reasons_.size(); ++i) {
    reasons_[i] = &metrics.GetCounter(kReasons, kReasonsHelp,
                                      {{"reason", std::string(ToString(static_cast<codec::Refusal>(i)))}});
  }
}

void ReceiveMetrics::CountRequest(std::string_view protocol, std::string_view encoding, int status, double seconds) {
  seconds_.Observe(seconds);
  const std::string key = format("{} {} {}", protocol, encoding, status);
  MutexLock lock(mutex_);
  telemetry::Counter*& counter = requests_[key];
  if (counter == nullptr) {
    counter = &metrics_.GetCounter(
        "receive_requests_total", "Write requests by protocol, encoding and status code.",
        {{"protocol", std::string(protocol)}, {"encoding", std::string(encoding)}, {"code", format("{}", status)}});
  }
  counter->Add();
}

void ReceiveMetrics::CountRefused(const RefusalCounts& counts) {
  for (size_t i = 1; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    refused.Add(counts[i]);
    reasons_[i]->Add(counts[i]);
  }
}

void ReceiveMetrics::CountRefusedByStream(uint64_t series) {
  if (series == 0) return;
  refused.Add(static_cast<double>(series));
  refused_by_stream_.Add(static_cast<double>(series));
}

}  // namespace mi::receive
