// A series for the tests of this room.
#pragma once

#include <string>
#include <utility>

#include "codec/testing/request_encoder.h"

namespace mi::receive {

// One sample of up{instance="…"}.
inline codec::WireSeries Up(std::string instance) {
  return {.labels = {{"__name__", "up"}, {"instance", std::move(instance)}}, .samples = {{1, 1000}}};
}

}  // namespace mi::receive
