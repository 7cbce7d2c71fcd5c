#include "web/pprof_handlers.h"

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <exception>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/bounded_queue.h"
#include "base/format.h"
#include "telemetry/profiling.h"
#include "telemetry/symbols.h"
#include "telemetry/thread_stacks.h"

namespace mi::web {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kRoot = "/debug/pprof/";
constexpr size_t kMaxWaiting = 16;
constexpr uint64_t kDefaultSeconds = 30;
constexpr uint64_t kMaxSeconds = 3600;
constexpr uint64_t kMaxSymbolBytes = 8 << 20;  // some 400,000 addresses
constexpr const char* kClosing = "the process is being stopped";

constexpr std::string_view kIndex = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>metric-index: profiles</title></head><body>
<h1>Profiles</h1>
<p>For <code>go tool pprof http://HOST:PORT/debug/pprof/NAME</code>; add <code>-http :8080</code> for a page with graphs.</p>
<table>
<tr><td><a href="profile?seconds=30">profile</a></td><td>CPU, over <code>seconds</code> (30)</td></tr>
<tr><td><a href="heap">heap</a></td><td>what is alive on the heap, sampled; answers after <code>seconds</code> where they are given</td></tr>
<tr><td><a href="growth">growth</a></td><td>the stacks that made the heap grow since the start</td></tr>
<tr><td><a href="threads">threads</a></td><td>where every thread stands</td></tr>
<tr><td><a href="goroutine">goroutine</a></td><td>the same as Go writes it, equal stacks counted</td></tr>
<tr><td><a href="cmdline">cmdline</a></td><td>the command line</td></tr>
<tr><td><a href="symbol">symbol</a></td><td>the names of addresses: <code>symbol?0x1234+0x5678</code>, or a POST</td></tr>
</table>
</body></html>
)";

// Profiles of Go's that have no counterpart in C++.
struct Absent {
  std::string_view name;
  std::string_view why;
};
constexpr std::array<Absent, 5> kAbsent = {
    {{"allocs", "gperftools samples what is alive, not what was ever allocated: use heap or growth"},
     {"block", "C++ has no runtime that counts waiting: use threads"},
     {"mutex", "C++ has no runtime that counts contention: use threads, or profile with perf"},
     {"threadcreate", "threads are made at the start, not by a scheduler: use threads"},
     {"trace", "there is no scheduler to trace: use profile"}}};

// pprof shows the text of an error only when this header says that it is meant for it.
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

net::Response CommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  if (words.ends_with('\0')) words.pop_back();  // separated by NUL, as Go has it
  return {.body = std::move(words)};
}

// "0x1+0x2" → a line for each that has a name. Nothing asked: how many names there are, as far as pprof wants to know.
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

// How long a profile lasts. A fault is answered.
std::expected<std::optional<uint64_t>, net::Response> SecondsOf(const net::Request& request) {
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

}  // namespace

// The thread on which profiles are taken.
class PprofHandlers::Desk {
 public:
  // `begin` now, `finish` after `seconds` or when the desk closes, whichever is first.
  struct Profile {
    uint64_t seconds = 0;  // 0: at once
    std::move_only_function<Status()> begin;
    std::move_only_function<net::Response()> finish;
  };

  ~Desk() { Close(); }

  void Take(Profile profile, net::Reply reply) {
    Order order{std::move(profile), std::move(reply)};
    if (orders_.TryPush(std::move(order))) return;
    // NOLINTNEXTLINE(bugprone-use-after-move): a queue that refuses leaves it as it is
    order.reply(closing_ ? Refuse(503, kClosing)
                         : Refuse(503, format("{} requests for profiles wait already", kMaxWaiting)));
  }

  void Close() {
    closing_ = true;
    orders_.Close();
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Order {
    Profile profile;
    net::Reply reply;
    steady_clock::time_point until{};
  };

  void Run() {
    std::optional<Order> running;
    while (true) {
      std::optional<Order> next = running ? orders_.PopUntil(running->until) : orders_.Pop();
      const bool ended = !next && closing_;
      if (next) TryBegin(*std::move(next), running);
      if (running && (ended || steady_clock::now() >= running->until)) {
        Finish(*running);
        running.reset();
      }
      if (ended) break;
    }
    while (std::optional<Order> left = orders_.Pop()) TryBegin(*std::move(left), running);
  }

  // Without memory a profile is not taken: its reply goes with the order, and answers 500. The thread goes on.
  static void Finish(Order& order) {
    try {
      order.reply(order.profile.finish());
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    }
  }
  void TryBegin(Order order, std::optional<Order>& running) const {
    try {
      Begin(std::move(order), running);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    }
  }

  void Begin(Order order, std::optional<Order>& running) const {
    if (order.profile.seconds == 0) return order.reply(order.profile.finish());
    if (closing_) return order.reply(Refuse(503, kClosing));
    if (running) return order.reply(Refuse(409, "another profile is being taken, and one is taken at a time"));
    if (const Status begun = order.profile.begin(); !begun) return order.reply(Refuse(503, begun.error().message()));
    order.until = steady_clock::now() + std::chrono::seconds(order.profile.seconds);
    running.emplace(std::move(order));
  }

  BoundedQueue<Order> orders_{kMaxWaiting};
  std::atomic<bool> closing_ = false;
  std::thread thread_{[this] { Run(); }};
};

class PprofHandlers::Pages final : public net::Handler {
 public:
  explicit Pages(Desk& desk) : desk_(desk) {}

  net::HeadDecision Head(const net::Request& request) override {
    const std::string_view name = NameOf(request);
    const bool post = request.method() == "POST" && name == "symbol";
    if (request.method() != "GET" && request.method() != "HEAD" && !post) {
      net::Response refused = Refuse(405, "Method Not Allowed");
      refused.headers.emplace_back("Allow", name == "symbol" ? "GET, HEAD, POST" : "GET, HEAD");
      return {.answer = std::move(refused)};
    }
    return {.handle = [this](const net::Request& whole, net::Reply reply) { Handle(whole, std::move(reply)); },
            .max_body_bytes = kMaxSymbolBytes, .too_large = [](uint64_t bytes) {
              return Refuse(413, format("body is {}, limit {}", FormatBytes(bytes), FormatBytes(kMaxSymbolBytes)));
            }};
  }

 private:
  void Handle(const net::Request& request, net::Reply reply) {
    const std::string_view name = NameOf(request);
    if (name.empty()) return reply({.content_type = "text/html; charset=utf-8", .body = std::string(kIndex)});
    auto profile = ProfileNamed(name, request);
    if (!profile) return reply(std::move(profile.error()));
    desk_.Take(*std::move(profile), std::move(reply));
  }

  static std::string_view NameOf(const net::Request& request) {
    std::string_view path = request.path();
    path.remove_prefix(std::min(path.size(), kRoot.size()));
    return path;
  }

  static std::expected<Desk::Profile, net::Response> ProfileNamed(std::string_view name, const net::Request& request) {
    const auto seconds = SecondsOf(request);
    if (!seconds) return std::unexpected(seconds.error());
    if (name == "profile") {
      return Desk::Profile{.seconds = seconds->value_or(kDefaultSeconds),
                           .begin = telemetry::StartCpuProfile,
                           .finish = [] { return ProfileOrWhyNot(telemetry::FinishCpuProfile(), "profile"); }};
    }
    if (name == "heap") {
      return Desk::Profile{.seconds = seconds->value_or(0),
                           .begin = [] { return Status(); },
                           .finish = [] { return ProfileOrWhyNot(telemetry::HeapProfile(), "heap"); }};
    }
    return AtOnce(name, request);
  }

  static std::expected<Desk::Profile, net::Response> AtOnce(std::string_view name, const net::Request& request) {
    const auto at_once = [](auto make) { return Desk::Profile{.finish = std::move(make)}; };
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
    for (const Absent& absent : kAbsent) {
      if (name == absent.name) return std::unexpected(Refuse(404, format("no profile {}: {}", name, absent.why)));
    }
    return std::unexpected(Refuse(404, format("no such profile; {} lists them", kRoot)));
  }

  Desk& desk_;
};

PprofHandlers::PprofHandlers() : desk_(std::make_unique<Desk>()), pages_(std::make_unique<Pages>(*desk_)) {}

PprofHandlers::~PprofHandlers() = default;

void PprofHandlers::Stop() { desk_->Close(); }

void PprofHandlers::RegisterRoutes(net::Router& router) {
  router.Add("/debug/pprof", *pages_);
  router.Add("/debug/pprof/*", *pages_);
}

}  // namespace mi::web
