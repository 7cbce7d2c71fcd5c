// Sends OpenTSDB points on to a TSDB: JSON arrays, in the background, with the same queue and patience as remote write.
//
// Threads: safe; never blocks. Ownership: deps outlive it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "forward/options.h"

namespace mi::forward {

class RemoteSend {
 public:
  virtual ~RemoteSend() = default;

  // Nothing: what is sent goes nowhere. kInvalid: a url that is none.
  static Result<std::unique_ptr<RemoteSend>> Create(const std::optional<TargetOptions>& target, ForwardDeps deps);

  virtual void Send(std::string points) = 0;
  virtual Status Reconfigure(const std::optional<TargetOptions>& target) = 0;
  virtual void Stop(std::chrono::milliseconds patience) = 0;
};

}  // namespace mi::forward
