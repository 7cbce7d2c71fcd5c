#include "net/tls/session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <utility>

#include "base/format.h"

namespace mi::net {
namespace {

constexpr size_t kRecordBytes = 17 << 10;  // of a buffer for one record
constexpr std::string_view kPlainAnswer =
    "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nthis port speaks TLS: use https://\n";

}  // namespace

void TlsSession::Free::operator()(ssl_st* session) const { SSL_free(session); }

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, int socket)
    : context_(std::move(context)), session_(SSL_new(context_->get())) {
  if (!session_ || SSL_set_fd(session_.get(), socket) != 1) throw std::bad_alloc();
  SSL_set_accept_state(session_.get());
}

// Reads until the room is full or the socket is empty: one call of OpenSSL gives one record at most.
ssize_t TlsSession::Read(std::span<const iovec> parts) {
  ssize_t total = 0;
  for (const iovec& part : parts) {
    for (size_t at = 0; at < part.iov_len;) {
      ERR_clear_error();
      size_t got = 0;
      const int result = SSL_read_ex(session_.get(), static_cast<char*>(part.iov_base) + at, part.iov_len - at, &got);
      if (!is_established_ && SSL_is_init_finished(session_.get()) == 1) OnEstablished();
      if (result != 1) {
        const ssize_t blocked = Blocked(result);
        may_have_more_ = blocked == 0;  // the end, which the socket does not announce
        return total > 0 ? total : blocked;
      }
      at += got;
      total += static_cast<ssize_t>(got);
    }
  }
  wants_write_ = false;
  may_have_more_ = true;
  return total;
}

ssize_t TlsSession::Write(std::span<const iovec> parts) {
  ssize_t total = 0;
  for (const iovec& part : parts) {
    for (size_t at = 0; at < part.iov_len;) {
      ERR_clear_error();
      size_t written = 0;
      const int result =
          SSL_write_ex(session_.get(), static_cast<const char*>(part.iov_base) + at, part.iov_len - at, &written);
      if (result != 1) {
        const ssize_t blocked = Blocked(result);
        if (total > 0) return total;
        if (blocked != 0) return blocked;
        errno = EPIPE;  // the peer has ended the session, and takes nothing more
        return -1;
      }
      at += written;
      total += static_cast<ssize_t>(written);
    }
  }
  wants_write_ = false;
  return total;
}

// What it means that OpenSSL did not read or write.
ssize_t TlsSession::Blocked(int result) {
  wants_write_ = false;
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_WRITE: wants_write_ = true; [[fallthrough]];
    case SSL_ERROR_WANT_READ: errno = EAGAIN; return -1;
    default: break;
  }
  if (fault_.empty()) {
    const unsigned long error = ERR_peek_error();
    const char* const reason = ERR_reason_error_string(error);
    const long verified = SSL_get_verify_result(session_.get());
    fault_ = reason == nullptr ? "the connection broke" : reason;
    if (verified != X509_V_OK) fault_ += format(": {}", X509_verify_cert_error_string(verified));
    if (!is_established_ && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST) {
      const int socket = SSL_get_fd(session_.get());
      send(socket, kPlainAnswer.data(), kPlainAnswer.size(), MSG_NOSIGNAL);
      shutdown(socket, SHUT_WR);
    }
  }
  errno = EPROTO;
  return -1;
}

void TlsSession::OnEstablished() {
  is_established_ = true;
  const X509* const certificate = SSL_get0_peer_certificate(session_.get());
  if (certificate != nullptr && context_->verifies_clients()) certificate_names_ = NamesOf(certificate);
}

void TlsSession::SayEnd() {
  if (!is_established_ || !fault_.empty()) return;
  ERR_clear_error();
  SSL_shutdown(session_.get());
}

// What an idle session takes was measured (README.md). Buffers for records are freed while they are empty.
size_t TlsSession::held_bytes() const {
  constexpr size_t kIdleBytes = 16 << 10;
  return kIdleBytes + (SSL_has_pending(session_.get()) == 1 ? kRecordBytes : 0) +
         (SSL_want_write(session_.get()) ? kRecordBytes : 0);
}

}  // namespace mi::net
