// A client's connection: bytes out and in, plain or TLS. Every wait has a deadline and can be ended.
//
// Threads: confined to one; Cancelled is safe to raise from another. Errors: kUnavailable, the wire is then of no use.
// With TLS the thread must have SIGPIPE ignored or blocked: OpenSSL writes without MSG_NOSIGNAL.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/listener.h"

namespace mi::net {

using Deadline = std::chrono::steady_clock::time_point;

// Ends the waits of the wires that have it, now and from now on.
class CancelSignal {
 public:
  CancelSignal();
  void Raise() const;
  int fd() const { return event_.get(); }

 private:
  FileDescriptor event_;
};

// Whom to trust, loaded once and shared by wires. Threads: safe.
class TlsContext {
 public:
  virtual ~TlsContext() = default;
  // The system's authorities (SSL_CERT_FILE and SSL_CERT_DIR say others), or those of `ca_file` alone.
  static Result<std::shared_ptr<const TlsContext>> Create(const std::string& ca_file = {});
};

struct WireTarget {
  std::string host;
  std::string port;
  std::shared_ptr<const TlsContext> tls;  // null: plain
};

class Wire {
 public:
  virtual ~Wire() = default;

  // Tries each address of the host. With TLS the peer's certificate must be for `host`. Resolving is outside the
  // deadline (getaddrinfo has none). `cancel` outlives the wire.
  static Result<std::unique_ptr<Wire>> Connect(const WireTarget& target, const CancelSignal& cancel, Deadline deadline);

  virtual Status WriteAll(std::string_view head, std::string_view body, Deadline deadline) = 0;
  // 0 at the end of the stream.
  virtual Result<size_t> ReadSome(std::span<char> into, Deadline deadline) = 0;
};

// A connected socket of which the waits are over when it is ready, at the deadline, or when cancelled.
class WireSocket {
 public:
  WireSocket(FileDescriptor socket, const CancelSignal& cancel, std::string peer)
      : socket_(std::move(socket)), cancel_(&cancel), peer_(std::move(peer)) {}

  int fd() const { return socket_.get(); }
  const std::string& peer() const { return peer_; }
  Status Await(short events, std::string_view doing, Deadline deadline) const;
  // "write 10.0.0.1:80: broken pipe"
  std::unexpected<Error> Broken(std::string_view doing, std::string_view why) const;

 private:
  FileDescriptor socket_;
  const CancelSignal* cancel_;
  std::string peer_;
};

// The TLS side of Connect: shakes hands over a socket that is connected.
Result<std::unique_ptr<Wire>> ShakeHands(WireSocket socket, const WireTarget& target, Deadline deadline);

}  // namespace mi::net
