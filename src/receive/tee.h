// Where requests go besides: a TSDB that gets them as they came. What does it is wired in by the role.
//
// Which requests: those that were read and that the sender does not repeat, that is all that are answered 2xx, and 400
// for a part of their series (the rest stands). Once everything of them is durable, and before the answer: so every
// sample of a request that was answered so is on its way to the TSDB, or counted as dropped. One that is answered 503
// is not passed on, for its sender brings it again.
#pragma once

#include <chrono>
#include <functional>

#include "base/result.h"
#include "net/http.h"

namespace mi::receive {

// Takes a kept request over; calls `done` once, from any thread, possibly before it returns. An error, at `deadline` at
// the latest: it could not be taken over, and the sender should repeat it.
using PassedOn = std::move_only_function<void(Status)>;
using PassOn = std::move_only_function<void(std::chrono::steady_clock::time_point deadline, PassedOn done)>;

// Keeps what is needed of a request while it waits to become durable: it is borrowed. Destroyed uncalled, nothing is
// passed on. Empty when there is nobody to pass it on to.
// Threads: safe; never blocks.
using Tee = std::function<PassOn(const net::Request& request)>;

}  // namespace mi::receive
