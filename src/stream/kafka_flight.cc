#include "stream/kafka_flight.h"

#include <utility>

namespace mi::stream {

KafkaFlight::KafkaFlight(std::shared_ptr<const KafkaProducer> producer, size_t series, size_t metadata,
                         SeriesPublisher::Done&& done, std::chrono::steady_clock::time_point began)
    : producer_(std::move(producer)),
      series_(series),
      began_(began),
      seats_(series + metadata),
      refused_from_(series + metadata),
      open_(series + metadata + 1),
      done_(std::move(done)) {
  uint32_t index = 0;
  for (Seat& seat : seats_) seat = {.flight = this, .index = index++};
}

PublishResult KafkaFlight::Report(const Explain& explain) const {
  PublishResult result;
  std::optional<std::pair<rd_kafka_resp_err_t, Error>> last;  // many records end alike
  auto refused = refused_.begin();
  const auto error_of = [&](const Seat& seat) -> const Error* {
    if (seat.index >= refused_from_) return &*rest_;
    if (refused != refused_.end() && refused->index == seat.index) return &(refused++)->error;
    if (seat.error == RD_KAFKA_RESP_ERR_NO_ERROR) return nullptr;
    if (!last || last->first != seat.error) last.emplace(seat.error, explain(seat.error));
    return &last->second;
  };
  for (const Seat& seat : seats_) {
    const Error* const error = error_of(seat);
    if (error == nullptr) continue;
    if (seat.index < series_) {
      result.failures.push_back({seat.index, *error});
    } else if (!result.metadata_failure) {
      result.metadata_failure = *error;
    }
  }
  return result;
}

}  // namespace mi::stream
