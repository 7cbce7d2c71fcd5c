#include "stream/kafka_flight.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace mi::stream {

KafkaFlight::KafkaFlight(size_t series, size_t metadata, SeriesPublisher::Done done,
                         std::chrono::steady_clock::time_point began)
    : series_(series), done_(std::move(done)), began_(began), open_(series + metadata + 1) {
  seats_.reserve(series + metadata);
  for (size_t i = 0; i < series + metadata; ++i) seats_.push_back({this, i});
}

std::unique_ptr<KafkaFlight::Outcome> KafkaFlight::Settle(size_t count) {
  // Whoever settles last must see what the other thread has noted.
  if (open_.fetch_sub(count, std::memory_order_acq_rel) != count) return nullptr;
  const std::unique_ptr<KafkaFlight> self(this);
  return Land();
}

std::unique_ptr<KafkaFlight::Outcome> KafkaFlight::Land() {
  auto outcome = std::make_unique<Outcome>();
  std::vector<PublishResult::Failure> failures = std::move(refused_);
  failures.insert(failures.end(), std::make_move_iterator(lost_.begin()), std::make_move_iterator(lost_.end()));
  std::ranges::sort(failures, {}, &PublishResult::Failure::index);
  const auto metadata = std::ranges::lower_bound(failures, series_, {}, &PublishResult::Failure::index);
  if (metadata != failures.end()) outcome->result.metadata_failure = std::move(metadata->error);
  failures.erase(metadata, failures.end());
  outcome->durable = series_ - failures.size();
  outcome->result.failures = std::move(failures);
  outcome->done = std::move(done_);
  outcome->began = began_;
  return outcome;
}

}  // namespace mi::stream
