// POST of remote write: negotiate, limit, decode, sort, answer when all is durable.
//
// Threads: safe; Handle runs on the server's threads and never blocks.
// Ownership: deps outlive it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/live.h"
#include "base/mutex.h"
#include "codec/compression.h"
#include "net/http.h"
#include "receive/departures.h"
#include "receive/intake.h"
#include "receive/negotiation.h"
#include "receive/tee.h"

namespace mi::receive {

struct WriteHandlerOptions {
  std::string identity_secret;
};

struct WriteHandlerDeps {
  IntakeDeps intake;
  Departures& departures;
  const Live<ReceiveOptions>& options;
  Tee tee;  // where requests go besides; empty: nowhere
};

class WriteHandler final : public net::Handler {
 public:
  WriteHandler(WriteHandlerOptions options, WriteHandlerDeps deps);
  ~WriteHandler() override;

  // Every endpoint that takes remote write (docs/formats/remote-write.md).
  void RegisterRoutes(net::Router& router);

  net::HeadDecision Head(const net::Request& request) override;

  // From now on 503: the service is stopping.
  void Refuse() { refusing_ = true; }

 private:
  // The reusable buffers of one request.
  struct Workspace;
  std::unique_ptr<Workspace> Borrow() EXCLUDES(mutex_);
  void Return(std::unique_ptr<Workspace> workspace) EXCLUDES(mutex_);

  std::optional<net::Response> CheckForm(const net::Request& request, Form& form) const;
  void Handle(const net::Request& request, const Form& form, net::Reply reply);
  // The answer, or nothing when it waits for the stream; `reply` is then gone.
  std::optional<net::Response> Receive(const net::Request& request, const Form& form, Workspace& workspace,
                                       net::Reply& reply, std::chrono::steady_clock::time_point begun);
  // A request of which the form is known, and how long it may take.
  struct Begun {
    Form form;
    std::chrono::steady_clock::time_point at;
    std::chrono::milliseconds timeout;
  };
  // Answers, once the request is passed on where it is to be.
  void Conclude(const Begun& request, net::Response response, PassOn pass_on, net::Reply reply);
  void CountRequest(const Form& form, int status, std::chrono::steady_clock::time_point begun);

  const WriteHandlerOptions options_;
  WriteHandlerDeps deps_;
  std::atomic<bool> refusing_ = false;
  Mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_ GUARDED_BY(mutex_);  // as many as requests were ever decoded at once
};

}  // namespace mi::receive
