// The answers to a write request, and their order of precedence (docs/formats/remote-write.md).
#pragma once

#include <string_view>

#include "base/result.h"
#include "codec/remote_write.h"
#include "net/http.h"
#include "receive/tally.h"

namespace mi::receive {

// A request that was read. `durable`: whether all of its series that stand are.
//   503 + Retry-After: they are not; the sender repeats all, so nothing counts as written.
//   400: some were refused, the rest is durable. Senders do not come back.
//   204: all is durable.
net::Response AnswerTo(codec::Schema schema, const Tally& tally, const Status& durable);

// A request that could not be read: 400. Not 413 (vmagent repeats it for ever) and not 429 (Prometheus may drop data).
net::Response RefuseRequest(codec::Schema schema, const Error& error);
net::Response RefuseForm(const Error& error);      // 415
net::Response RefuseMethod();                      // 405
net::Response TryLater(std::string_view because);  // 503

}  // namespace mi::receive
