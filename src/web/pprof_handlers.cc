#include "web/pprof_handlers.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/bounded_queue.h"
#include "base/format.h"
#include "codec/stream_compression.h"
#include "telemetry/profiling/profiles.h"
#include "telemetry/profiling/symbols.h"
#include "telemetry/profiling/thread_stacks.h"
#include "web/page.h"

namespace mi::web {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kRoot = "/debug/pprof/";
constexpr size_t kMaxWaiting = 16;
constexpr uint64_t kDefaultSeconds = 30;
constexpr uint64_t kMaxSeconds = 300;
constexpr uint64_t kMaxSymbolBytes = 1 << 20;  // about 50,000 addresses; no budget counts them while they wait
constexpr const char* kStopping = "the process is being stopped";

constexpr std::string_view kIndex = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>metric-index: profiles</title></head><body>
<h1>Profiles</h1>
<p>For <code>go tool pprof http://HOST:PORT/debug/pprof/NAME</code>; add <code>-http :8080</code> for a page with graphs.</p>
<table>
<tr><td><a href="profile?seconds=30">profile</a></td><td>CPU, over <code>seconds</code> (30)</td></tr>
<tr><td><a href="heap">heap</a></td><td>live objects of the heap, sampled; with <code>seconds</code>, after that time</td></tr>
<tr><td><a href="growth">growth</a></td><td>the stacks that made the heap grow since the start</td></tr>
<tr><td><a href="threads">threads</a></td><td>the stack of each thread</td></tr>
<tr><td><a href="goroutine">goroutine</a></td><td>the same in Go's form, one entry per distinct stack</td></tr>
<tr><td>block, mutex, threadcreate</td><td>always empty: C++ has no runtime that counts these</td></tr>
<tr><td><a href="cmdline">cmdline</a></td><td>the command line</td></tr>
<tr><td><a href="symbol">symbol</a></td><td>the names of addresses: <code>symbol?0x1234+0x5678</code>, or a POST</td></tr>
</table>
</body></html>
)";

// Profiles of Go's runtime that tools fetch along with others: name, and what they count. Here they are always empty.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kEmpty = {
    {{"block", "contentions"}, {"mutex", "contentions"}, {"threadcreate", "threadcreate"}}};

// Profiles of Go that have no counterpart in C++: name and reason.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kAbsent = {
    {{"allocs", "gperftools samples live objects, not all allocations: use heap or growth"},
     {"trace", "there is no scheduler to trace: use profile"}}};

// pprof shows the text of an error only with this header.
net::Response Refuse(int status, std::string why) {
  net::Response response{.status = status, .body = std::move(why) + "\n", .headers = {{"X-Go-Pprof", "1"}}};
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

net::Response ProfileOrWhyNot(Result<std::string> profile, std::string_view name) {
  if (!profile) return Refuse(503, profile.error().message());
  return {.content_type = "application/octet-stream",
          .body = *std::move(profile),
          .headers = {{"Content-Disposition", format("attachment; filename=\"{}\"", name)}}};
}

// A profile without samples in pprof's own form: gzip of the message Profile (github.com/google/pprof, profile.proto).
// Its fields: sample_type (1), string_table (6), period_type (11), period (12). Types are indices of strings.
net::Response EmptyProfile(std::string_view name, std::string_view counted) {
  constexpr std::string_view kUnit = "count";
  const std::string type = {'\x08', '\x01', '\x10', '\x02'};  // ValueType{.type = 1, .unit = 2}
  std::string message;
  const auto add = [&message](char tag, std::string_view bytes) {
    message += tag;
    message += static_cast<char>(bytes.size());
    message += bytes;
  };
  add('\x0a', type);
  for (const std::string_view text : {std::string_view(), counted, kUnit}) add('\x32', text);
  add('\x5a', type);
  message += {'\x60', '\x01'};
  std::string body;
  codec::StreamCompressor(codec::ContentCoding::kGzip).Finish(message, body);
  return {.content_type = "application/octet-stream",
          .body = std::move(body),
          .headers = {{"Content-Disposition", format("attachment; filename=\"{}\"", name)}}};
}

net::Response CommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  if (words.ends_with('\0')) words.pop_back();  // separated by NUL, as in Go
  return {.body = std::move(words)};
}

// "0x1+0x2" gives one line per address that has a name. The first line tells pprof that there are names at all.
net::Response SymbolNames(std::string_view addresses) {
  std::string text = "num_symbols: 1\n";
  std::optional<telemetry::Symbols> symbols;
  while (!addresses.empty()) {
    const std::string_view word = addresses.substr(0, addresses.find('+'));
    addresses.remove_prefix(std::min(addresses.size(), word.size() + 1));
    uintptr_t address = 0;
    const bool hex = word.starts_with("0x");
    if (!hex || std::from_chars(word.begin() + 2, word.end(), address, 16).ec != std::errc()) continue;
    if (!symbols) symbols.emplace();
    const std::string name = symbols->NameOf(address);
    if (!name.empty()) text += format("{:#x} {}\n", address, name);
  }
  return {.body = std::move(text)};
}

// The parameter `seconds`; nothing if it is not given.
std::expected<std::optional<uint64_t>, net::Response> ReadSeconds(const net::Request& request) {
  const net::FormParameters parameters = net::FormParameters::Parse(request.query());
  const auto given = parameters.First("seconds");
  if (!given) return std::nullopt;
  uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(given->begin(), given->end(), seconds);
  if (error != std::errc() || end != given->end() || seconds == 0 || seconds > kMaxSeconds) {
    return std::unexpected(Refuse(400, format("seconds wants a whole number from 1 to {}", kMaxSeconds)));
  }
  return seconds;
}

// What a request wants. `begin` runs first, `finish` after `seconds` or when the process stops, whichever is earlier.
// With 0 seconds only `finish` runs, at once.
struct Profile {
  uint64_t seconds = 0;
  Status (*begin)() = nullptr;
  std::move_only_function<net::Response()> finish;
};

std::expected<Profile, net::Response> ProfileFor(std::string_view name, const net::Request& request) {
  const auto seconds = TRY(ReadSeconds(request));
  if (name == "profile") {
    return Profile{.seconds = seconds.value_or(kDefaultSeconds), .begin = telemetry::StartCpuProfile, .finish = [] {
                     return ProfileOrWhyNot(telemetry::FinishCpuProfile(), "profile");
                   }};
  }
  if (name == "heap") {
    return Profile{.seconds = seconds.value_or(0),
                   .begin = [] { return Status(); },
                   .finish = [] { return ProfileOrWhyNot(telemetry::HeapProfile(), "heap"); }};
  }
  const auto at_once = [](auto make) { return Profile{.finish = std::move(make)}; };
  if (name == "growth") return at_once([] { return ProfileOrWhyNot(telemetry::GrowthProfile(), "growth"); });
  if (name == "threads") {
    return at_once([] { return net::Response{.body = telemetry::ThreadsText(telemetry::CollectThreadStacks())}; });
  }
  if (name == "goroutine") {
    return at_once([] { return net::Response{.body = telemetry::GoroutineText(telemetry::CollectThreadStacks())}; });
  }
  if (name == "cmdline") return at_once(CommandLine);
  if (name == "symbol") {
    const std::string_view addresses = request.method() == "POST" ? request.body() : request.query();
    return at_once([addresses = std::string(addresses)] { return SymbolNames(addresses); });
  }
  for (const auto& [empty, counted] : kEmpty) {
    if (name == empty) return at_once([empty, counted] { return EmptyProfile(empty, counted); });
  }
  for (const auto& [absent, why] : kAbsent) {
    if (name == absent) return std::unexpected(Refuse(404, format("no profile {}: {}", name, why)));
  }
  return std::unexpected(Refuse(404, format("no such profile; {} lists them", kRoot)));
}

}  // namespace

// The thread that takes profiles. It alone sees `running`: the profile that takes time, if there is one.
class PprofHandlers::Profiler {
 public:
  ~Profiler() { Stop(); }

  void Take(Profile profile, net::Reply reply) {
    Request request{std::move(profile), std::move(reply)};
    if (requests_.TryPush(std::move(request))) return;
    // NOLINTNEXTLINE(bugprone-use-after-move): a queue that refuses an item leaves it unchanged
    request.reply(Refuse(
        503, stopping_ ? std::string(kStopping) : format("{} requests for profiles are waiting already", kMaxWaiting)));
  }

  void Stop() {
    requests_.Close();  // first: once stopping_ is set, an empty queue stays empty
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Request {
    Profile profile;
    net::Reply reply;
    steady_clock::time_point until{};
  };

  // Takes requests one by one. Finishes the running profile when its time is over, or when the queue is closed and
  // empty. One thread waits for both the next request and the end of the running profile: PopUntil() returns at the
  // earlier of the two. So a long profile delays no other request, and needs no timer.
  void Run() {
    std::optional<Request> running;
    while (true) {
      std::optional<Request> next = running ? requests_.PopUntil(running->until) : requests_.Pop();
      const bool ended = !next && stopping_;
      if (next) Begin(*std::move(next), running);
      if (running && (ended || steady_clock::now() >= running->until)) {
        running->reply(running->profile.finish());
        running.reset();
      }
      if (ended) return;
    }
  }

  void Begin(Request request, std::optional<Request>& running) const {
    if (request.profile.seconds == 0) return request.reply(request.profile.finish());
    if (stopping_) return request.reply(Refuse(503, kStopping));
    if (running) return request.reply(Refuse(409, "another profile is being taken; only one runs at a time"));
    if (const Status begun = request.profile.begin(); !begun) {
      return request.reply(Refuse(503, begun.error().message()));
    }
    request.until = steady_clock::now() + std::chrono::seconds(request.profile.seconds);
    running.emplace(std::move(request));
  }

  BoundedQueue<Request> requests_{kMaxWaiting};
  std::atomic<bool> stopping_ = false;
  std::thread thread_{[this] { Run(); }};
};

class PprofHandlers::Handler final : public net::Handler {
 public:
  explicit Handler(Profiler& profiler) : profiler_(profiler) {}

  net::HeadDecision Head(const net::Request& request) override {
    std::string name(request.path().substr(std::min(request.path().size(), kRoot.size())));
    if (auto refused = RefuseMethod(request, name == "symbol" ? "GET, HEAD, POST" : "GET, HEAD")) {
      refused->headers.emplace_back("X-Go-Pprof", "1");
      return {.answer = std::move(refused)};
    }
    return {.handle = [this, name = std::move(name)](const net::Request& whole,
                                                     net::Reply reply) { Handle(name, whole, std::move(reply)); },
            .max_body_bytes = kMaxSymbolBytes,
            .too_large =
                [](uint64_t bytes) {
                  return Refuse(413, format("body is {}, limit {}", FormatBytes(bytes), FormatBytes(kMaxSymbolBytes)));
                }};
  }

 private:
  void Handle(std::string_view name, const net::Request& request, net::Reply reply) {
    if (name.empty()) return reply({.content_type = "text/html; charset=utf-8", .body = std::string(kIndex)});
    auto profile = ProfileFor(name, request);
    if (!profile) return reply(std::move(profile.error()));
    profiler_.Take(*std::move(profile), std::move(reply));
  }

  Profiler& profiler_;
};

PprofHandlers::PprofHandlers()
    : profiler_(std::make_unique<Profiler>()), handler_(std::make_unique<Handler>(*profiler_)) {}

PprofHandlers::~PprofHandlers() = default;

void PprofHandlers::Stop() { profiler_->Stop(); }

void PprofHandlers::RegisterRoutes(net::Router& router) {
  router.Add("/debug/pprof", net::Role::kAdmin, *handler_);
  router.Add("/debug/pprof/*", net::Role::kAdmin, *handler_);
}

}  // namespace mi::web
