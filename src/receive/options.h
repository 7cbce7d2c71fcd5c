// What the receiver accepts, and how long a sender waits for its answer. Live: replaced as a whole (base/live.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "codec/series_limits.h"

namespace mi::receive {

struct ReceiveOptions {
  uint64_t max_body_bytes = 32 << 20;     // receive.max_body_bytes
  uint64_t max_decoded_bytes = 64 << 20;  // receive.max_decoded_bytes
  codec::SeriesLimits series;
  std::chrono::milliseconds answer_timeout{20'000};  // receive.answer_timeout
  std::string identity_secret;                       // of the catalogue: fingerprints are made with it

  bool operator==(const ReceiveOptions&) const = default;
};

}  // namespace mi::receive
