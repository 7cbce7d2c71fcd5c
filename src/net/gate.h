// Decides which requests are handled. The server asks it when the head of a request has arrived, before it reads the
// body.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>

#include "net/http.h"

namespace mi::net {

// Threads: called from any of the server's threads, concurrently. Must not block. Ownership: outlives the server.
class Gate {
 public:
  virtual ~Gate() = default;

  // Who sends the request (null: no login is needed), or the answer that refuses it.
  using Verdict = std::expected<std::shared_ptr<const Caller>, Response>;
  using Later = std::move_only_function<void(Verdict)>;

  // `needed`: what the endpoint asks for. Returns the verdict, or nothing if it takes long: then calls `later` once,
  // from another thread. The request is valid only until this function returns.
  virtual std::optional<Verdict> Check(const Request& request, Role needed, Later later) = 0;
};

}  // namespace mi::net
