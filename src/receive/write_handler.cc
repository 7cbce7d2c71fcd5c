#include "receive/write_handler.h"

#include <utility>

#include "base/format.h"
#include "receive/write_answer.h"
#include "receive/write_tenant.h"

namespace mi::receive {
namespace {

using std::chrono::steady_clock;

// Older vmagents ask which protocol is spoken here, the first ones with GET: "1" means zstd.
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

WriteHandler::WriteHandler(WriteHandlerOptions options, WriteHandlerDeps deps)
    : options_(std::move(options)), deps_(std::move(deps)) {}
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
  decision.handle = [this, form](const net::Request& whole, net::Reply reply) { Handle(whole, form, std::move(reply)); };
  return decision;
}

void WriteHandler::Handle(const net::Request& request, const Form& form, net::Reply reply) {
  const auto begun = deps_.intake.clock.Steady();
  std::optional<net::Response> answer;
  if (refusing_.load(std::memory_order_relaxed)) {
    answer = TryLater(form.schema, "the service is stopping");  // since the head arrived
  } else {
    std::unique_ptr<Workspace> workspace = Borrow();
    answer = Receive(request, form, *workspace, reply, begun);
    Return(std::move(workspace));
  }
  if (!answer) return;
  CountRequest(form, answer->status, begun);
  reply(*std::move(answer));
}

std::optional<net::Response> WriteHandler::Receive(const net::Request& request, const Form& form, Workspace& workspace,
                                                   net::Reply& reply, steady_clock::time_point begun) {
  const auto options = deps_.options.Get();
  const Result<model::Tenant> tenant = TenantOf(request);
  if (!tenant) return RefuseRequest(form.schema, tenant.error());
  const Result<std::string_view> decoded =
      workspace.decompressor.Decode(form.compression, request.body(), options->max_decoded_bytes);
  if (!decoded) return RefuseRequest(form.schema, decoded.error());
  const model::Fingerprinter fingerprinter(options_.identity_secret, *tenant);
  if (const Status scanned = workspace.scan.Scan(form.schema, *decoded, fingerprinter); !scanned) {
    return RefuseRequest(form.schema, scanned.error());
  }
  Intake::Sorted sorted = workspace.intake.Sort(workspace.scan, *tenant, fingerprinter, *options);
  if (!sorted.to_confirm.empty()) deps_.departures.Confirm(std::move(sorted.to_confirm));
  PassOn pass_on = deps_.tee ? deps_.tee(request) : nullptr;
  if (sorted.arrivals.empty() && !pass_on) return AnswerTo(form.schema, sorted.tally, {});

  auto answer = [this, form, begun, timeout = options->answer_timeout, tally = std::move(sorted.tally),
                 pass_on = std::move(pass_on),
                 reply = std::move(reply)](const Status& durable, const StreamRefusals& refusals) mutable {
    Conclude({form, begun, timeout}, AnswerTo(form.schema, std::move(tally), durable, refusals), std::move(pass_on),
             std::move(reply));
  };
  if (sorted.arrivals.empty()) {
    answer({}, {});
  } else {
    deps_.departures.Send(std::move(sorted.arrivals), options->answer_timeout, std::move(answer));
  }
  return std::nullopt;
}

void WriteHandler::Conclude(const Begun& request, net::Response response, PassOn pass_on, net::Reply reply) {
  const bool repeated = response.status >= 500;
  if (repeated || !pass_on) {
    CountRequest(request.form, response.status, request.at);
    return reply(std::move(response));
  }
  pass_on(request.at + request.timeout,
          [this, request, response = std::move(response), reply = std::move(reply)](Status passed) mutable {
            if (!passed) response = AnswerTo(request.form.schema, {}, passed);
            CountRequest(request.form, response.status, request.at);
            reply(std::move(response));
          });
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
