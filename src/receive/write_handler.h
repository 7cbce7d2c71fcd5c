// POST of remote write: the flow of one request.
//
//   Head: schema, compression, method -> Handle: Read (decompress, scan) -> Finish: sort (intake.h)
//   -> publish_once.h, if series are new -> OnDurable: forward to other TSDBs (forwarder.h), if there are any -> Answer
//
// A request that is large, or that contains many series, continues on another thread (long_work.h).
//
// Threads: safe; runs on the server's threads, on those of LongWork, and from OnDurable on also on those that settle
// the last series. Never blocks.
// Ownership: deps outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/block.h"
#include "base/free_list.h"
#include "base/live.h"
#include "base/mutex.h"
#include "net/body_buffer.h"
#include "net/http.h"
#include "receive/forwarder.h"
#include "receive/intake.h"
#include "receive/long_work.h"
#include "receive/negotiation.h"
#include "receive/publish_once.h"

namespace mi::receive {

struct WriteHandlerDeps {
  IntakeDeps intake;
  PublishOnce& publish_once;
  const Live<ReceiveOptions>& options;
  LongWork& long_work;
  MemoryBudget& memory;
  Forwarder forwarder;  // empty: requests are not forwarded
};

class WriteHandler final : public net::Handler {
 public:
  explicit WriteHandler(WriteHandlerDeps deps);
  ~WriteHandler() override;

  // Every endpoint that takes remote write (docs/formats/remote-write.md).
  void RegisterRoutes(net::Router& router);

  net::HeadDecision Head(const net::Request& request) override;

  // From now on 503: the service is stopping.
  void Refuse() { refusing_ = true; }

 private:
  // A request that has come and is not answered yet.
  struct Pending {
    Form form;
    std::chrono::steady_clock::time_point begun;
    std::chrono::milliseconds timeout;
    net::Reply reply;
    MemoryHold memory;  // its new series
    RequestCounts counts = {};
    Forward forward = nullptr;
  };
  // The reusable buffers of one request.
  struct Workspace;
  // A request that is not sorted yet.
  struct Unsorted {
    Pending pending;
    model::Tenant tenant;
    std::shared_ptr<const ReceiveOptions> options;
    std::unique_ptr<Workspace> workspace;  // with the result of Read()
    Block copy = {};                       // of the body, if the request is read by another thread
    std::string_view body = {};            // in that copy
    MemoryHold memory;                     // then: that copy, and the workspace
  };
  std::unique_ptr<Workspace> Borrow(FreeList<Workspace>& idle);
  // Keeps the buffers of a request that was sorted or refused for the next one.
  void GiveBack(Unsorted& request);

  std::optional<net::Response> CheckForm(const net::Request& request, Form& form) const;
  void Handle(const net::Request& request, const Form& form, net::Reply reply);
  // Decompresses and scans a body. kTooLarge: it exceeds the bounds, or is refused.
  Status Read(std::string_view body, uint64_t max_decoded_bytes, const codec::ScanBounds& bounds,
              Unsorted& request) const;
  Status Scan(std::string_view decoded, const codec::ScanBounds& bounds, Unsorted& request) const;
  void Defer(const net::Request& request, Unsorted unsorted);
  Status ReadDeferred(Unsorted& request);
  void Finish(Unsorted& request);
  void AnswerError(Pending& pending, const Error& error);
  void OnDurable(Pending pending, const PublishOutcome& outcome);
  void Answer(Pending& pending, net::Response response);
  void CountRequest(const Form& form, int status, std::chrono::steady_clock::time_point begun);

  WriteHandlerDeps deps_;
  std::atomic<bool> refusing_ = false;
  // What is kept here for the next requests counts towards no budget. Of deferred requests, at most a share of the
  // budget is kept: a quarter in all workspaces together, and a sixteenth in copies of bodies.
  FreeList<Workspace> idle_;
  FreeList<Workspace> idle_large_;
  const uint64_t max_idle_large_;  // bytes: a workspace is kept if its last request needed no more
  const uint64_t max_kept_copies_;
  Mutex mutex_;
  net::BlockPool copies_ GUARDED_BY(mutex_);
};

}  // namespace mi::receive
