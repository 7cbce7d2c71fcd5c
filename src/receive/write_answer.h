// The answers to a write request, and which one wins (docs/formats/remote-write.md).
#pragma once

#include <string_view>

#include "base/result.h"
#include "codec/remote_write.h"
#include "net/http.h"
#include "receive/intake.h"
#include "receive/publish_once.h"

namespace mi::receive {

// The answer to a request that was read. `outcome`: of its new series.
//   503 + Retry-After: they are not durable. The sender repeats the whole request, so nothing counts as written.
//   400: some series were refused, the others are durable. The sender does not repeat the request.
//   204: everything is durable.
net::Response AnswerTo(codec::Schema schema, RequestCounts counts, const PublishOutcome& outcome);

// A request that could not be read: 400. Not 413 (vmagent repeats it for ever), not 429 (Prometheus may drop data).
net::Response RefuseRequest(codec::Schema schema, const Error& error);
net::Response RefuseForm(codec::Schema schema, const Error& error);      // 415
net::Response RefuseMethod(codec::Schema schema);                        // 405
net::Response TryLater(codec::Schema schema, std::string_view because);  // 503

}  // namespace mi::receive
