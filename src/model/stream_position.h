// Where reading a stream continues. The stream hands it out with each poll; the store keeps it in the transaction that
// applies what was polled.
#pragma once

#include <cstdint>
#include <string>

namespace mi::model {

// The first offset of a stream's partition that is not applied yet.
struct StreamPosition {
  std::string stream;     // the Kafka topic, or the journal's uuid
  int32_t partition = 0;  // 0 for the journal
  int64_t next_offset = 0;
  friend bool operator==(const StreamPosition&, const StreamPosition&) = default;
};

}  // namespace mi::model
