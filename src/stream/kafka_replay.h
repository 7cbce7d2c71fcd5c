// Reads a topic once, all partitions of it, from its beginning or a moment on, up to the end that it had at Start: what
// fills an empty database (`metric-index replay`). It is no member of a group. From a moment on, it begins no later
// than the store's positions (nothing is passed over); those that it gives are the topic's own, so a consumer group
// goes on from where the replay ended.
//
//   auto replay = KafkaReplay::Create(options, deps);          // end the consumers of that database first
//   replay->Start(positions);                                  // repeat it while it is kUnavailable
//   while (!replay->finished()) {
//     auto polled = replay->Poll(10'000, 1s);                  // an error: repeat
//     if (!polled->empty() && applier.Apply(*polled) != index::Applier::Applied::kAll) break;
//     Show(replay->progress());
//   }
//   replay->finished() && applied: exit 0
//
// An index::Worker over it works as well: it polls for ever, watch finished() && CurrentLag().records == 0 from
// outside.
//
// Threads: as SeriesConsumer; finished() and progress() are safe. Errors: kInvalid when a topic does not exist.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "stream/kafka.h"
#include "stream/ports.h"

namespace mi::stream {

struct KafkaReplayOptions {
  KafkaOptions kafka;
  std::vector<std::string> topics = {"metric-index"};
  std::optional<int64_t> from_ms;  // records of this time and later (Kafka's record timestamps); nothing: all of them
  // Several that share the work, each of the partitions with number % lanes == lane.
  unsigned lane = 0;
  unsigned lanes = 1;
};

class KafkaReplay : public SeriesConsumer {
 public:
  struct Progress {
    uint64_t read = 0;   // offsets passed, over all partitions
    uint64_t total = 0;  // offsets between start and end; those that compaction took are passed in leaps
  };

  static Result<std::unique_ptr<KafkaReplay>> Create(const KafkaReplayOptions& options, const KafkaDeps& deps);

  // Whether Poll has given everything before the end.
  virtual bool finished() const = 0;
  virtual Progress progress() const = 0;
};

}  // namespace mi::stream
