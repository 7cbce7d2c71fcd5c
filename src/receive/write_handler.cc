#include "receive/write_handler.h"

#include <utility>

#include "base/format.h"
#include "codec/compression.h"
#include "receive/write_answer.h"

namespace mi::receive {
namespace {

using std::chrono::steady_clock;

// Older vmagents ask for the version of the protocol, the oldest ones with GET. The answer "1" means zstd.
bool IsProtocolProbe(const net::Request& request) {
  return net::FormParameters::Parse(request.query()).First("get_vm_proto_version") == "1";
}

}  // namespace

struct WriteHandler::Workspace {
  explicit Workspace(IntakeDeps deps) : intake(deps) {}
  codec::Decompressor decompressor;
  codec::RequestScan scan;
  Intake intake;
};

WriteHandler::WriteHandler(WriteHandlerDeps deps) : deps_(std::move(deps)) {}
WriteHandler::~WriteHandler() = default;

void WriteHandler::RegisterRoutes(net::Router& router) {
  for (const char* path : {"/api/v1/metrics/write", "/api/v1/write", "/api/v1/push", "/api/v1/receive",
                           "/insert/{tenant}/prometheus", "/insert/{tenant}/prometheus/api/v1/write"}) {
    router.Add(path, *this);
  }
}

std::optional<net::Response> WriteHandler::CheckForm(const net::Request& request, Form& form) const {
  if (!request.query().empty() && IsProtocolProbe(request)) return net::Response{.body = "1"};
  const Status negotiated = Negotiate(request, form);
  if (request.method() != "POST") return RefuseMethod(form.schema);
  if (!negotiated) return RefuseForm(form.schema, negotiated.error());
  if (refusing_.load(std::memory_order_relaxed)) return TryLater(form.schema, "the service is stopping");
  return std::nullopt;
}

net::HeadDecision WriteHandler::Head(const net::Request& request) {
  Form form;
  net::HeadDecision decision;
  decision.max_body_bytes = deps_.options.Get()->max_body_bytes;
  decision.answer = CheckForm(request, form);
  if (decision.answer) {
    CountRequest(form, decision.answer->status, deps_.intake.clock.Steady());
    return decision;
  }
  decision.too_large = [this, form, limit = decision.max_body_bytes](uint64_t bytes) {
    CountRequest(form, 400, deps_.intake.clock.Steady());
    return RefuseRequest(form.schema, Error(Errc::kTooLarge, format("body is {}, limit {} (receive.max_body_bytes)",
                                                                    FormatBytes(bytes), FormatBytes(limit))));
  };
  decision.handle = [this, form](const net::Request& whole, net::Reply reply) {
    Handle(whole, form, std::move(reply));
  };
  return decision;
}

// A request's bytes are borrowed and end with this function. What is needed later is copied before: new series into a
// batch, the body by the forwarder, the rest into `pending`. `pending` moves along with the callbacks, so exactly one
// of them owns the reply and answers. The workspace is returned before anything is awaited: there are only as many as
// requests are read at the same time, not as many as wait.
void WriteHandler::Handle(const net::Request& request, const Form& form, net::Reply reply) {
  const auto options = deps_.options.Get();
  Pending pending{form, deps_.intake.clock.Steady(), options->answer_timeout, std::move(reply)};
  if (refusing_.load(std::memory_order_relaxed)) {  // since Head()
    return Answer(pending, TryLater(form.schema, "the service is stopping"));
  }
  const Result<model::Tenant> tenant = TenantOf(request);
  if (!tenant) return Answer(pending, RefuseRequest(form.schema, tenant.error()));
  std::unique_ptr<Workspace> workspace = Borrow();
  Result<Intake::Sorted> sorted = Sort(request.body(), form, *tenant, *options, *workspace);
  Return(std::move(workspace));
  if (!sorted) return Answer(pending, RefuseRequest(form.schema, sorted.error()));
  if (!sorted->to_confirm.empty()) deps_.publish_once.Confirm(std::move(sorted->to_confirm));
  pending.counts = std::move(sorted->counts);
  if (deps_.forwarder) pending.forward = deps_.forwarder(request, *tenant);
  if (sorted->fresh.empty()) return OnDurable(std::move(pending), {});
  deps_.publish_once.Publish(std::move(sorted->fresh), options->answer_timeout,
                             [this, pending = std::move(pending)](const PublishOutcome& outcome) mutable {
                               OnDurable(std::move(pending), outcome);
                             });
}

Result<Intake::Sorted> WriteHandler::Sort(std::string_view body, const Form& form, const model::Tenant& tenant,
                                          const ReceiveOptions& options, Workspace& workspace) const {
  const std::string_view decoded =
      TRY(workspace.decompressor.Decode(form.compression, body, options.max_decoded_bytes));
  const model::Fingerprinter fingerprinter(options.identity_secret, tenant);
  TRY(workspace.scan.Scan(form.schema, decoded, fingerprinter));
  return workspace.intake.Sort(workspace.scan, tenant, fingerprinter, options);
}

void WriteHandler::OnDurable(Pending pending, const PublishOutcome& outcome) {
  net::Response response = AnswerTo(pending.form.schema, std::move(pending.counts), outcome);
  const bool sender_repeats = response.status >= 500;
  if (sender_repeats || !pending.forward) return Answer(pending, std::move(response));
  Forward forward = std::move(pending.forward);
  const auto deadline = pending.begun + pending.timeout;
  forward(deadline,
          [this, pending = std::move(pending), response = std::move(response)](const Status& forwarded) mutable {
            if (!forwarded) response = AnswerTo(pending.form.schema, {}, {.status = forwarded});
            Answer(pending, std::move(response));
          });
}

void WriteHandler::Answer(Pending& pending, net::Response response) {
  CountRequest(pending.form, response.status, pending.begun);
  pending.reply(std::move(response));
}

void WriteHandler::CountRequest(const Form& form, int status, steady_clock::time_point begun) {
  const std::chrono::duration<double> took = deps_.intake.clock.Steady() - begun;
  deps_.intake.metrics.CountRequest(form.protocol, form.encoding, status, took.count());
}

std::unique_ptr<WriteHandler::Workspace> WriteHandler::Borrow() {
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Workspace> workspace = std::move(idle_.back());
      idle_.pop_back();
      return workspace;
    }
  }
  return std::make_unique<Workspace>(deps_.intake);
}

void WriteHandler::Return(std::unique_ptr<Workspace> workspace) {
  MutexLock lock(mutex_);
  idle_.push_back(std::move(workspace));
}

}  // namespace mi::receive
