// The socket of a connection, plain or with TLS.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/file_descriptor.h"
#include "net/tls/session.h"

namespace mi::net {

// A plain socket costs one comparison per call. Threads: confined to one.
class Socket {
 public:
  explicit Socket(FileDescriptor fd) : fd_(std::move(fd)) {}

  // Everything that was not read yet is TLS. Requires: nothing was read.
  void StartTls(std::shared_ptr<const TlsContext> context) {
    tls_ = std::make_unique<TlsSession>(std::move(context), fd_.get());
  }

  // As readv(2) and writev(2), without SIGPIPE; see TlsSession.
  ssize_t Read(std::span<const iovec> parts) {
    if (tls_ != nullptr) return tls_->Read(parts);
    return readv(fd_.get(), parts.data(), static_cast<int>(parts.size()));
  }
  ssize_t Write(std::span<iovec> parts) {
    if (tls_ != nullptr) return tls_->Write(parts);
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    return sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  }
  // Half-closes it, which delivers everything that was written.
  void SayEnd() {
    if (tls_ != nullptr) tls_->SayEnd();
    shutdown(fd_.get(), SHUT_WR);
  }
  void Close() {
    tls_.reset();
    fd_.reset();
  }

  int fd() const { return fd_.get(); }
  // Null if it is plain.
  const TlsSession* tls() const { return tls_.get(); }
  bool is_in_handshake() const { return tls_ != nullptr && !tls_->is_established(); }

 private:
  FileDescriptor fd_;
  std::unique_ptr<TlsSession> tls_;
};

}  // namespace mi::net
