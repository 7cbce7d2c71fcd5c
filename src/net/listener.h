// Listening sockets: parses an address as people write it, and binds a port that no other process serves.
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
  std::string host;  // empty for all addresses
  uint16_t port = 0;
  static Result<ListenAddress> Parse(std::string_view text);
};

struct Listeners {
  std::vector<FileDescriptor> sockets;  // bound to one address, listening, non-blocking
  uint16_t port = 0;                    // the one that was bound
};

// `count` sockets that share the address by SO_REUSEPORT. kInvalid: a malformed address. kUnavailable: the port is in
// use (also by a process that allows sharing), or cannot be bound.
Result<Listeners> Listen(std::string_view address, unsigned count, std::string_view option = "app.listen, app.port");

}  // namespace mi::net
