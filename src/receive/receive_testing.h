// What the tests of this room share.
#pragma once

#include <string>
#include <utility>

#include "codec/remote_write_encode.h"

namespace mi::receive {

// One sample of up{instance="…"}.
inline codec::WireSeries Up(std::string instance) {
  return {.labels = {{"__name__", "up"}, {"instance", std::move(instance)}}, .samples = {{1, 1000}}};
}

}  // namespace mi::receive
