// The TLS side of one connection: plain bytes here, records on its socket.
//
// The handshake needs no call of its own: reading does it. While it has not ended, reads give EAGAIN.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/tls/context.h"

struct ssl_st;

namespace mi::net {

// Threads: confined to one. Ownership: borrows the socket, which is non-blocking; shares the context, because a
// connection outlives the certificate that it began with.
class TlsSession {
 public:
  TlsSession(std::shared_ptr<const TlsContext> context, int socket);

  // As readv(2): the bytes that were read, 0 at the end of input, or -1 with errno: EAGAIN if the socket has to become
  // ready first (wants_write() says for what), EPROTO if the connection has failed. Fewer bytes than there is room for
  // mean that nothing more has arrived.
  ssize_t Read(std::span<const iovec> parts);
  // As writev(2). After EAGAIN it must be called with the same bytes again; they may lie elsewhere, and more may
  // follow.
  ssize_t Write(std::span<const iovec> parts);
  // Tells the peer that nothing more will be written.
  void SayEnd();

  bool is_established() const { return is_established_; }
  // The last call waits for room in the socket.
  bool wants_write() const { return wants_write_; }
  // Bytes, or the end of input, may have arrived here that the socket will not announce.
  bool may_have_more() const { return may_have_more_; }
  // Of the client's certificate, if it showed one that was verified (NamesOf).
  std::span<const std::string> certificate_names() const { return certificate_names_; }
  // Why the connection failed; '' if it has not.
  const std::string& fault() const { return fault_; }
  // About how many bytes of memory it holds.
  size_t held_bytes() const;

 private:
  struct Free {
    void operator()(ssl_st* session) const;
  };

  ssize_t Blocked(int result);
  void OnEstablished();

  const std::shared_ptr<const TlsContext> context_;
  const std::unique_ptr<ssl_st, Free> session_;
  bool is_established_ = false;
  bool wants_write_ = false;
  bool may_have_more_ = false;
  std::string fault_;
  std::vector<std::string> certificate_names_;
};

}  // namespace mi::net
