// The answers to a write request, and their order of precedence (docs/formats/remote-write.md).
#pragma once

#include <string_view>

#include "base/result.h"
#include "codec/remote_write.h"
#include "net/http.h"
#include "receive/stream_refusals.h"
#include "receive/tally.h"

namespace mi::receive {

// A request that was read. `durable`: whether all of its series that stand are.
//   503 + Retry-After: they are not; the sender repeats all, so nothing counts as written.
//   400: some were refused, the rest is durable. Senders do not come back.
//   204: all is durable.
// `refusals`: what of them the stream will never take, where `durable` is an error that is not worth repeating.
net::Response AnswerTo(codec::Schema schema, Tally tally, const Status& durable, const StreamRefusals& refusals = {});

// A request that could not be read: 400. Not 413 (vmagent repeats it for ever) and not 429 (Prometheus may drop data).
net::Response RefuseRequest(codec::Schema schema, const Error& error);
net::Response RefuseForm(codec::Schema schema, const Error& error);      // 415
net::Response RefuseMethod(codec::Schema schema);                        // 405
net::Response TryLater(codec::Schema schema, std::string_view because);  // 503

}  // namespace mi::receive
