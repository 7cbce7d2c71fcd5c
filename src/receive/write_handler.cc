#include "receive/write_handler.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "codec/compression.h"
#include "receive/write_answer.h"

namespace mi::receive {
namespace {

using std::chrono::steady_clock;

// What a thread of the server does itself. 2,000 series of a usual sender decode to 1 MiB and take less than a
// millisecond, or 5 ms if all of them are new.
constexpr uint64_t kShortBytes = 3 << 19;
constexpr codec::ScanBounds kShort{.series = 2500, .label_bytes = 4 << 20, .depth = codec::Depth::kKeysFirst};
constexpr codec::ScanBounds kAny{.depth = codec::Depth::kKeysFirst};

constexpr uint64_t kBytesPerField = 128;  // of a scanned series, and of what the intake notes of it

// Older vmagents ask for the version of the protocol, the oldest ones with GET. The answer "1" means zstd.
bool IsProtocolProbe(const net::Request& request) {
  return net::FormParameters::Parse(request.query()).First("get_vm_proto_version") == "1";
}

}  // namespace

struct WriteHandler::Workspace {
  explicit Workspace(IntakeDeps deps) : intake(deps) {}

  codec::Decompressor decompressor;
  std::optional<model::Fingerprinter> fingerprinter;  // of the request's tenant
  codec::RequestScan scan;
  Intake intake;
};

// Large requests come one after the other (vmagent sends 10,000 series in each). Taking memory from the kernel for each
// of them would cost as much as reading them.
WriteHandler::WriteHandler(WriteHandlerDeps deps)
    : deps_(std::move(deps)),
      max_idle_large_(deps_.memory.limit() / 4 / deps_.long_work.threads()),
      max_kept_copies_(deps_.memory.limit() / 16),
      copies_(max_kept_copies_) {}
WriteHandler::~WriteHandler() = default;

void WriteHandler::RegisterRoutes(net::Router& router) {
  for (const char* path : {"/api/v1/metrics/write", "/api/v1/write", "/api/v1/push", "/api/v1/receive",
                           "/insert/{tenant}/prometheus", "/insert/{tenant}/prometheus/api/v1/write"}) {
    router.Add(path, net::Role::kWrite, *this);
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
// of them owns the reply and answers. The workspace is returned before anything is awaited.
//
// A thread of the server serves many senders, so it reads only what is short. Reading ends where a request turns out to
// be long. A thread of LongWork then reads a copy of its body from the beginning, and answers it.
void WriteHandler::Handle(const net::Request& request, const Form& form, net::Reply reply) {
  auto options = deps_.options.Get();
  Pending pending{form, deps_.intake.clock.Steady(), options->answer_timeout, std::move(reply),
                  MemoryHold(deps_.memory)};
  if (refusing_.load(std::memory_order_relaxed)) {  // since Head()
    return Answer(pending, TryLater(form.schema, "the service is stopping"));
  }
  Result<model::Tenant> tenant = TenantOf(request);
  if (!tenant) return AnswerError(pending, tenant.error());
  const uint64_t max_decoded_bytes = options->max_decoded_bytes;
  Unsorted unsorted{.pending = std::move(pending),
                    .tenant = *std::move(tenant),
                    .options = std::move(options),
                    .workspace = Borrow(idle_),
                    .memory = MemoryHold(deps_.memory)};
  const Status read = Read(request.body(), std::min(kShortBytes, max_decoded_bytes), kShort, unsorted);
  if (!read) {
    GiveBack(unsorted);
    if (read.error().code() == Errc::kTooLarge) return Defer(request, std::move(unsorted));
    return AnswerError(unsorted.pending, read.error());
  }
  if (deps_.forwarder) unsorted.pending.forward = deps_.forwarder(request, unsorted.tenant);
  Finish(unsorted);
}

Status WriteHandler::Read(std::string_view body, uint64_t max_decoded_bytes, const codec::ScanBounds& bounds,
                          Unsorted& request) const {
  Workspace& workspace = *request.workspace;
  const codec::Compression compression = request.pending.form.compression;
  return Scan(TRY(workspace.decompressor.Decode(compression, body, max_decoded_bytes)), bounds, request);
}

Status WriteHandler::Scan(std::string_view decoded, const codec::ScanBounds& bounds, Unsorted& request) const {
  Workspace& workspace = *request.workspace;
  workspace.fingerprinter.emplace(request.options->identity_secret, request.tenant);
  const model::LocalHasher hasher(deps_.intake.seen.alias_key(), *workspace.fingerprinter);
  return workspace.scan.Scan(request.pending.form.schema, decoded, hasher, bounds);
}

void WriteHandler::Defer(const net::Request& request, Unsorted unsorted) {
  // The pool keeps only powers of two up to its share. A larger copy takes no more than it needs.
  const std::string_view body = request.body();
  const bool is_kept = net::BlockPool::Rounded(body.size()) <= max_kept_copies_;
  const size_t bytes = is_kept ? net::BlockPool::Rounded(body.size()) : body.size();
  if (const Status taken = TakeMemory(unsorted.memory, bytes, body.size()); !taken) {
    return AnswerError(unsorted.pending, taken.error());
  }
  if (is_kept) {
    const MutexLock lock(mutex_);
    unsorted.copy = copies_.Take(bytes);
  } else {
    unsorted.copy = Block(bytes);
  }
  std::ranges::copy(body, unsorted.copy.data());
  unsorted.body = {unsorted.copy.data(), body.size()};
  if (deps_.forwarder) unsorted.pending.forward = deps_.forwarder(request, unsorted.tenant);
  deps_.long_work.Add(request.peer(), [this, unsorted = std::move(unsorted)](const Status& run) mutable {
    Status ready = run;
    const Pending& pending = unsorted.pending;
    if (ready) ready = CheckWaited(deps_.intake.clock.Steady() - pending.begun, pending.timeout);
    if (ready) ready = ReadDeferred(unsorted);
    if (ready) return Finish(unsorted);
    GiveBack(unsorted);
    AnswerError(unsorted.pending, ready.error());
  });
}

// Memory is taken before it is used: the decoded bytes, then the list entries of the scan.
Status WriteHandler::ReadDeferred(Unsorted& request) {
  const uint64_t max_decoded_bytes = request.options->max_decoded_bytes;
  TRY(TakeMemory(request.memory, codec::DecodedSizeBound(request.body, max_decoded_bytes)));
  request.workspace = Borrow(idle_large_);
  Workspace& workspace = *request.workspace;
  const std::string_view decoded =
      TRY(workspace.decompressor.Decode(request.pending.form.compression, request.body, max_decoded_bytes));
  const size_t fields = codec::CountFields(decoded);
  TRY(TakeMemory(request.memory, fields * kBytesPerField));
  workspace.scan.Reserve(std::min(fields, codec::MaxSeries(decoded.size()) + 1));
  return Scan(decoded, kAny, request);
}

void WriteHandler::Finish(Unsorted& request) {
  Pending& pending = request.pending;
  Workspace& workspace = *request.workspace;
  Intake::Sorted sorted =
      workspace.intake.Sort(workspace.scan, request.tenant, *workspace.fingerprinter, *request.options, request.memory);
  GiveBack(request);
  if (!sorted.to_confirm.empty()) deps_.publish_once.Confirm(std::move(sorted.to_confirm));
  if (!sorted.status) return AnswerError(pending, sorted.status.error());
  pending.counts = std::move(sorted.counts);
  if (sorted.fresh.empty()) return OnDurable(std::move(pending), {});
  if (const Status taken = TakeMemory(pending.memory, sorted.fresh.memory_bytes()); !taken) {
    return AnswerError(pending, taken.error());
  }
  const auto begun = pending.begun;
  const std::chrono::milliseconds timeout = pending.timeout;
  deps_.publish_once.Publish(std::move(sorted.fresh), begun, timeout,
                             [this, pending = std::move(pending)](const PublishOutcome& outcome) mutable {
                               OnDurable(std::move(pending), outcome);
                             });
}

void WriteHandler::AnswerError(Pending& pending, const Error& error) {
  const codec::Schema schema = pending.form.schema;
  Answer(pending, IsWorthRepeating(error.code()) ? TryLater(schema, error.message()) : RefuseRequest(schema, error));
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

std::unique_ptr<WriteHandler::Workspace> WriteHandler::Borrow(FreeList<Workspace>& idle) {
  auto workspace = idle.Take();
  return workspace ? std::move(workspace) : std::make_unique<Workspace>(deps_.intake);
}

void WriteHandler::GiveBack(Unsorted& request) {
  const bool was_deferred = request.copy.data() != nullptr;
  if (!was_deferred) {
    idle_.Put(std::move(request.workspace));
  } else {
    if (request.workspace && request.memory.bytes() <= max_idle_large_) idle_large_.Put(std::move(request.workspace));
    request.workspace.reset();
    Block copy = std::exchange(request.copy, {});
    const MutexLock lock(mutex_);
    if (net::BlockPool::Rounded(copy.capacity()) == copy.capacity()) copies_.Return(std::move(copy));
  }
  request.memory.Clear();
}

}  // namespace mi::receive
