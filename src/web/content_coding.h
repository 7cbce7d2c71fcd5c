// Which compression a client accepts, and an answer compressed so.
#pragma once

#include <string_view>

#include "codec/stream_compression.h"
#include "net/http.h"

namespace mi::web {

// The coding that the client prefers by its q-values (RFC 9110, 12.5.3); zstd wins over gzip, and both over none, if it
// does not care. `accept`: all values of Accept-Encoding, joined by ','; '' if there is none.
codec::ContentCoding ChooseCoding(std::string_view accept);

inline constexpr size_t kMinCompressedBytes = 1 << 10;  // smaller bodies are sent as they are

// Compresses the body, or each chunk when it is made. Costs up to a millisecond per chunk, so call it, and next_chunk,
// on a thread that may compute for long.
void Compress(codec::ContentCoding coding, net::Response& response);

}  // namespace mi::web
