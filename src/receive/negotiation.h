// What a write request says about its own form: schema and compression, from its headers.
//
// Source: the remote-write 1.0 and 2.0 specifications, VictoriaMetrics' remote-write protocol
// (docs/formats/remote-write.md).
#pragma once

#include <string_view>

#include "base/result.h"
#include "codec/compression.h"
#include "codec/remote_write.h"
#include "net/http.h"

namespace mi::receive {

struct Form {
  codec::Schema schema = codec::Schema::kV1;
  codec::Compression compression = codec::Compression::kSnappy;
  // Labels of receive_requests_total: "1.0" or "2.0", "snappy" or "zstd"; "unknown" from where it was not understood,
  // or not looked at (a probe). Literals.
  std::string_view protocol = "unknown";
  std::string_view encoding = "unknown";
};

// kInvalid names the header and its value: the answer is 415. `form` then has what was understood: the schema, where
// only the compression is unknown.
Status Negotiate(const net::Request& request, Form& form);

}  // namespace mi::receive
