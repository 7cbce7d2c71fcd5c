// A batch on its way to Kafka: answered once, when each of its records was acknowledged, refused or given up.
//
// Records are taken by the thread that publishes, and reported by the one that polls the handle, maybe at the same
// time. The flight frees itself after its answer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "stream/ports.h"

namespace mi::stream {

class KafkaFlight {
 public:
  struct Outcome {
    PublishResult result;
    SeriesPublisher::Done done;
    size_t durable = 0;  // series
    std::chrono::steady_clock::time_point began;
  };
  // What a record carries through librdkafka as its opaque pointer.
  struct Seat {
    KafkaFlight* flight;
    size_t index;  // series first, then metadata
  };

  // `series` + `metadata` records are to come.
  KafkaFlight(size_t series, size_t metadata, SeriesPublisher::Done done, std::chrono::steady_clock::time_point began);

  Seat* seat(size_t index) { return &seats_[index]; }

  // By the publishing thread: this record was not taken.
  void Refuse(size_t index, Error error) { refused_.push_back({index, std::move(error)}); }
  // By the polling thread: a taken record failed.
  void Lose(size_t index, Error error) { lost_.push_back({index, std::move(error)}); }

  // So many records are settled, refused ones included, or the publishing thread has brought all (that counts as one
  // more). The outcome when that was the last; the flight is gone then.
  std::unique_ptr<Outcome> Settle(size_t count);

 private:
  std::unique_ptr<Outcome> Land();

  const size_t series_;
  SeriesPublisher::Done done_;
  const std::chrono::steady_clock::time_point began_;
  std::vector<Seat> seats_;
  std::vector<PublishResult::Failure> refused_;  // the publishing thread's, until it has settled its part
  std::vector<PublishResult::Failure> lost_;     // the polling thread's
  std::atomic<size_t> open_;
};

}  // namespace mi::stream
