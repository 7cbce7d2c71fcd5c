// The port to other TSDBs that also get the requests, unchanged. A role connects it to forward::Forwarder.
//
// Forwarded is what the sender does not repeat: each request that is answered 2xx, and each that is answered 400
// because a part of its series was refused. It is forwarded once its series are durable, and before the answer. So
// every sample of an answered request is on its way to the TSDB, or counted as dropped. A request that is answered 503
// is not forwarded: its sender repeats it.
#pragma once

#include <chrono>
#include <functional>

#include "base/result.h"
#include "model/tenant.h"
#include "net/http.h"

namespace mi::receive {

// Forwards one request. Calls `done` once, from any thread, possibly before it returns. An error (at `deadline` at the
// latest) means that the request was not forwarded and the sender should repeat it.
using Forwarded = std::move_only_function<void(Status)>;
using Forward = std::move_only_function<void(std::chrono::steady_clock::time_point deadline, Forwarded done)>;

// Copies what is needed of a request, for later: a request is borrowed. If the result is not called, nothing is
// forwarded. Returns an empty function if there is no TSDB to forward to. The tenant is that of the request, from its
// path or its header.
// Threads: safe; never blocks.
using Forwarder = std::function<Forward(const net::Request& request, const model::Tenant& tenant)>;

}  // namespace mi::receive
