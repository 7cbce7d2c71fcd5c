// A batch on its way to Kafka: landed once, when each of its records was acknowledged, refused or given up.
//
// Records are taken by the thread that publishes, and reported by the one that polls the handle, maybe at the same
// time. A report needs no memory: it comes from within librdkafka, which no exception may pass.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "stream/kafka_producer.h"
#include "stream/ports.h"

namespace mi::stream {

class KafkaFlight {
 public:
  // What a record carries through librdkafka as its opaque pointer, and how it ended.
  struct Seat {
    KafkaFlight* flight;
    uint32_t index;  // series first, then metadata
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  };
  using Explain = std::function<Error(rd_kafka_resp_err_t)>;

  // `series` + `metadata` records are to come. Takes `done` only when there was memory for all.
  KafkaFlight(std::shared_ptr<const KafkaProducer> producer, size_t series, size_t metadata,
              SeriesPublisher::Done&& done, std::chrono::steady_clock::time_point began);

  const KafkaProducer& producer() const { return *producer_; }
  std::chrono::steady_clock::time_point began() const { return began_; }
  Seat* seat(size_t index) { return &seats_[index]; }

  // By the publishing thread: this record was not taken; or none from this one on. The first may find no memory.
  void Refuse(size_t index, Error error) { refused_.push_back({index, std::move(error)}); }
  void RefuseFrom(size_t index, Error error) {
    refused_from_ = index;
    rest_ = std::move(error);
  }

  // So many records are settled, refused ones included, or the publishing thread has brought all (that counts as one
  // more). True for the last: the flight is the caller's then.
  bool Settle(size_t count) { return open_.fetch_sub(count, std::memory_order_acq_rel) == count; }

  // Landing. May find no memory, and can be tried again.
  PublishResult Report(const Explain& explain) const;
  size_t series() const { return series_; }
  SeriesPublisher::Done TakeDone() { return std::move(done_); }

  KafkaFlight* next = nullptr;  // of those that could not land yet

 private:
  const std::shared_ptr<const KafkaProducer> producer_;
  const size_t series_;
  const std::chrono::steady_clock::time_point began_;
  std::vector<Seat> seats_;                      // by index; an error is the polling thread's
  std::vector<PublishResult::Failure> refused_;  // these three the publishing thread's, until it has settled its part
  size_t refused_from_;
  std::optional<Error> rest_;
  std::atomic<size_t> open_;
  SeriesPublisher::Done done_;  // last: what could throw comes before it is taken
};

}  // namespace mi::stream
