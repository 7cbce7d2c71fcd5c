// What the head of a request says about it: schema, compression and tenant.
//
// Source: the remote-write 1.0 and 2.0 specifications, VictoriaMetrics' remote-write protocol
// (docs/formats/remote-write.md).
#pragma once

#include <string_view>

#include "base/result.h"
#include "codec/compression.h"
#include "codec/remote_write.h"
#include "model/tenant.h"
#include "net/http.h"

namespace mi::receive {

struct Form {
  codec::Schema schema = codec::Schema::kV1;
  codec::Compression compression = codec::Compression::kSnappy;
  // Labels of receive_requests_total: "1.0" or "2.0"; "snappy" or "zstd". "unknown" if the header could not be parsed,
  // or was not looked at. Literals.
  std::string_view protocol = "unknown";
  std::string_view encoding = "unknown";
};

// kInvalid: the message names the header and its value; answer 415. `form` contains what was understood before: the
// schema, if only the compression is unknown.
Status Negotiate(const net::Request& request, Form& form);

// The tenant from the path, /insert/<tenant>/…, or from the header X-Scope-OrgID; otherwise the default tenant, or the
// only one of the caller. kInvalid: not a tenant, path and header name different ones, or the caller must choose;
// answer 400.
Result<model::Tenant> TenantOf(const net::Request& request);

}  // namespace mi::receive
