// A batch whose records are on their way to the brokers.
//
// Two threads work on it at the same time: the publishing thread hands its records to librdkafka one by one, and the
// polling thread receives the delivery reports. Each subtracts what it has settled from one counter. Whoever brings the
// counter to zero owns the batch and finishes it.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cassert>
#include <utility>

#include "stream/ports.h"

namespace mi::stream {

class PendingBatch {
 public:
  // The opaque pointer of a record in librdkafka, and the record's outcome.
  struct Record {
    PendingBatch* batch;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  };

  // For `series` + `metadata` records, numbered with the series first.
  PendingBatch(size_t series, size_t metadata, SeriesPublisher::Done done, std::chrono::steady_clock::time_point began)
      : series_(series),
        began_(began),
        records_(series + metadata, Record{this}),
        unsettled_(series + metadata + 1),
        done_(std::move(done)) {}

  Record* record(size_t index) { return &records_[index]; }

  // By the publishing thread: librdkafka did not accept this record. Requires: ascending indices.
  void Refuse(size_t index, Error error) {
    assert(refused_.empty() || refused_.back().index < index);
    refused_.push_back({index, std::move(error)});
  }

  // Subtracts `count` from the number of unsettled records, plus one for the publishing thread, which settles that one
  // after its last record. Returns true for the last caller, who then owns the batch.
  bool Settle(size_t count) { return unsettled_.fetch_sub(count, std::memory_order_acq_rel) == count; }

  // For the owner. `explain` turns librdkafka's errors into ours.
  PublishResult Outcome(const std::function<Error(rd_kafka_resp_err_t)>& explain) const {
    PublishResult result;
    std::optional<std::pair<rd_kafka_resp_err_t, Error>> last;  // most failed records fail alike: explain once
    auto refused = refused_.begin();
    for (size_t i = 0; i < records_.size(); ++i) {
      const Error* error = nullptr;
      if (refused != refused_.end() && refused->index == i) {
        error = &(refused++)->error;
      } else if (const rd_kafka_resp_err_t code = records_[i].error; code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (!last || last->first != code) last.emplace(code, explain(code));
        error = &last->second;
      }
      if (error == nullptr) continue;
      if (i < series_) {
        result.failures.push_back({i, *error});
      } else if (!result.metadata_failure) {
        result.metadata_failure = *error;
      }
    }
    return result;
  }
  size_t series() const { return series_; }
  std::chrono::steady_clock::time_point began() const { return began_; }
  SeriesPublisher::Done TakeDone() { return std::move(done_); }

 private:
  const size_t series_;
  const std::chrono::steady_clock::time_point began_;
  std::vector<Record> records_;                  // the errors are written by the polling thread
  std::vector<PublishResult::Failure> refused_;  // written by the publishing thread
  std::atomic<size_t> unsettled_;
  SeriesPublisher::Done done_;
};

}  // namespace mi::stream
