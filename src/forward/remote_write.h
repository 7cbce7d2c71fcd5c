// Passes remote-write requests on to TSDBs as they came: body untouched, the sender's own headers.
//
// The body is copied once and shared by all targets; each has its own queue, bounded in bytes (target.h). A TSDB that
// is slow or away costs nobody time, unless it is told to block.
//
// Threads: safe; never blocks. Ownership: deps outlive it; it outlives the PassOns that it gave out.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "forward/options.h"
#include "net/http.h"

namespace mi::forward {

class RemoteWrite {
 public:
  using Done = std::move_only_function<void(Status)>;
  using PassOn = std::move_only_function<void(std::chrono::steady_clock::time_point deadline, Done done)>;

  virtual ~RemoteWrite() = default;

  // kInvalid: a url that is none. No targets: Keep gives nothing.
  static Result<std::unique_ptr<RemoteWrite>> Create(const std::vector<TargetOptions>& targets, ForwardDeps deps);

  // What it takes to pass a request on, later (receive/tee.h): call it once, or never. Empty when there is no target.
  // `done` is told an error when a target that blocks had no room until `deadline`: then the others have not got it
  // either, but for those that block and had room.
  virtual PassOn Keep(const net::Request& request) = 0;

  // Targets are told apart by url: one that stays keeps its queue, one that goes drops what it has, and counts it. An
  // error changes nothing.
  virtual Status Reconfigure(const std::vector<TargetOptions>& targets) = 0;

  // For a stop: whoever waits for room is told kUnavailable.
  virtual void ExpireAll() = 0;
  // Sends what waits until `patience` is over, and drops the rest, counted. Takes nothing from then on.
  virtual void Stop(std::chrono::milliseconds patience) = 0;
};

}  // namespace mi::forward
