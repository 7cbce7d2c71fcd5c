// Listening sockets: the address as people write it, and a port that nobody else serves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace mi::net {

// "127.0.0.1:7001", "localhost:7001", "[::1]:7001", ":7001".
struct ListenAddress {
  std::string host;  // '' for all addresses
  uint16_t port = 0;
  static Result<ListenAddress> Parse(std::string_view text);
};

struct Listeners {
  std::vector<FileDescriptor> sockets;  // bound to one address, listening, non-blocking
  uint16_t port = 0;                    // the one that was taken
};

// `count` sockets that share the address by SO_REUSEPORT. kInvalid for a text that is no address; kUnavailable when the
// port is in use (by anybody, also by a process that allows sharing) or cannot be had.
Result<Listeners> Listen(std::string_view address, unsigned count);

}  // namespace mi::net
