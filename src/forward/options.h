// A TSDB that gets a copy of what we receive (docs/configuration.md: remote).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mi::forward {

enum class WhenFull : uint8_t {
  kDropOldest,  // the TSDB loses what has waited longest; no sender waits
  kBlock,       // the sender waits for its answer, up to receive.answer_timeout, and then repeats the request
};

// A reload leaves a target alone if its options compare equal.
struct TargetOptions {
  bool enabled = false;                                 // remote.write[].enabled: the app leaves out other targets
  std::string url;                                      // http:// or https://
  std::string content_type = "application/x-protobuf";  // for requests without one
  uint64_t queue_bytes = 64 << 20;
  WhenFull when_full = WhenFull::kDropOldest;
  bool forward_credentials = false;  // the senders' Authorization and Cookie
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds timeout = std::chrono::seconds(30);

  bool operator==(const TargetOptions&) const = default;
};

}  // namespace mi::forward
