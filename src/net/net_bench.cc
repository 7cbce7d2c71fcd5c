// What HTTP costs, plain and with TLS: processor time of the server's thread per request, and memory per idle
// connection.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "net/listener.h"
#include "net/server.h"
#include "net/testing/certificates.h"

namespace mi::net {
namespace {

constexpr size_t kBodyBytes = 94'000;  // 2,000 series in snappy

class Silent final : public telemetry::Logger {
 public:
  bool Enabled(telemetry::Level) const override { return false; }
  void Write(telemetry::Level, std::string_view) override {}
};

int64_t ThreadCpuNs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

void Require(bool holds) {
  if (!holds) std::abort();
}

// Answers 204 at once, like a request of known series.
class Sink final : public Handler {
 public:
  HeadDecision Head(const Request&) override {
    return {.handle = [this](const Request& request, Reply reply) { Handle(request, std::move(reply)); },
            .max_body_bytes = 32 << 20};
  }
  int64_t cpu_ns() const { return cpu_ns_.load(std::memory_order_relaxed); }

 private:
  void Handle(const Request& request, Reply reply) {
    Require(request.body().size() == kBodyBytes && request.body().back() == 'x');
    cpu_ns_.store(ThreadCpuNs(), std::memory_order_relaxed);
    reply({.status = 204});
  }

  std::atomic<int64_t> cpu_ns_{0};
};

FileDescriptor Connect(uint16_t port) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Require(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

enum class Kind { kPlain, kTls };

// A client's end of a connection.
class Client {
 public:
  Client(uint16_t port, Kind kind) : socket_(Connect(port)) {
    if (kind == Kind::kPlain) return;
    static SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, socket_.get());
    Require(SSL_connect(ssl_) == 1);
  }
  Client(Client&& other) noexcept : socket_(std::move(other.socket_)), ssl_(std::exchange(other.ssl_, nullptr)) {}
  ~Client() { SSL_free(ssl_); }

  void SendAll(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t sent = 0;
      if (ssl_ != nullptr) {
        Require(SSL_write_ex(ssl_, bytes.data(), bytes.size(), &sent) == 1);
      } else {
        const ssize_t result = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        Require(result > 0);
        sent = static_cast<size_t>(result);
      }
      bytes.remove_prefix(sent);
    }
  }
  // Reads until `count` answers have come in all.
  void AwaitAnswers(size_t count) {
    size_t ends = 0;
    char bytes[4096];
    char last = 0;
    while (ends < count) {
      const int got = ssl_ != nullptr ? SSL_read(ssl_, bytes, sizeof bytes)
                                      : static_cast<int>(recv(socket_.get(), bytes, sizeof bytes, 0));
      Require(got > 0);
      for (int i = 0; i < got; ++i) {
        ends += bytes[i] == '\r' && last == '\n';  // the empty line behind a head
        last = bytes[i];
      }
    }
    Require(ends == count);
  }

  void End() { shutdown(socket_.get(), SHUT_RDWR); }

 private:
  FileDescriptor socket_;
  SSL* ssl_ = nullptr;
};

std::unique_ptr<Server> Serve(const Router& router, telemetry::Logger& log, Kind kind) {
  auto server = std::move(*Server::Create({.listen = "127.0.0.1:0", .threads = 1}, router, log));
  if (kind == Kind::kTls) {
    const TestCertificate own = MakeCertificate({});
    server->SetTls(*TlsContext::Create({.certificate = own.certificate, .key = own.key}));
  }
  server->Start();
  return server;
}

std::string RequestBytes() {
  return "POST /sink HTTP/1.1\r\nHost: bench\r\nUser-Agent: Prometheus/2.42.0\r\nContent-Length: " +
         std::to_string(kBodyBytes) +
         "\r\nContent-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n"
         "X-Prometheus-Remote-Write-Version: 0.1.0\r\n\r\n" +
         std::string(kBodyBytes, 'x');
}

void SendAll(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    Require(sent > 0);
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

// One hot connection with `depth` requests under way: what the server's own thread spends on each.
void HotConnection(benchmark::State& state, Kind kind) {
  Silent log;
  Sink sink;
  Router router;
  router.Add("/sink", Role::kAnybody, sink);
  const auto server = Serve(router, log, kind);
  Client client(server->port(), kind);
  const size_t depth = static_cast<size_t>(state.range(0));
  std::string requests;
  for (size_t i = 0; i < depth; ++i) requests += RequestBytes();
  client.SendAll(requests);
  client.AwaitAnswers(depth);
  const int64_t before = sink.cpu_ns();
  for (auto _ : state) {
    client.SendAll(requests);
    client.AwaitAnswers(depth);
  }
  const double served = static_cast<double>(state.iterations()) * static_cast<double>(depth);
  state.counters["server_us_a_request"] = static_cast<double>(sink.cpu_ns() - before) / 1000 / served;
  state.counters["requests/s"] = benchmark::Counter(served, benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(HotConnection, plain, Kind::kPlain)->Arg(1)->Arg(4)->Arg(16)->UseRealTime();
BENCHMARK_CAPTURE(HotConnection, tls, Kind::kTls)->Arg(1)->Arg(4)->Arg(16)->UseRealTime();

// The kernel's own work: the same bytes taken by a thread that does nothing but recv.
void BareSocket(benchmark::State& state) {
  Listeners listeners = std::move(*Listen("127.0.0.1:0", 1));
  Client client(listeners.port, Kind::kPlain);
  FileDescriptor accepted;
  while (accepted.get() < 0) accepted = FileDescriptor(accept(listeners.sockets[0].get(), nullptr, nullptr));
  const std::string request = RequestBytes();
  std::atomic<int64_t> cpu_ns{0};
  std::thread reader([&] {
    std::string buffer(request.size(), 0);
    const int64_t before = ThreadCpuNs();
    for (;;) {
      if (recv(accepted.get(), buffer.data(), buffer.size(), MSG_WAITALL) != static_cast<ssize_t>(buffer.size())) break;
      SendAll(accepted.get(), "HTTP/1.1 204 No Content\r\n\r\n");
      cpu_ns = ThreadCpuNs() - before;
    }
  });
  for (auto _ : state) {
    client.SendAll(request);
    client.AwaitAnswers(1);
  }
  client.End();
  reader.join();
  state.counters["server_us_a_request"] = static_cast<double>(cpu_ns) / 1000 / static_cast<double>(state.iterations());
}
BENCHMARK(BareSocket)->UseRealTime();

// Heap of the process for each connection that has sent one request and now waits.
void IdleConnections(benchmark::State& state, Kind kind) {
  const size_t count = static_cast<size_t>(state.range(0));
  const rlimit files{.rlim_cur = 2 * count + 100, .rlim_max = 2 * count + 100};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) return state.SkipWithError("too few open files allowed (ulimit -Hn)");
  Silent log;
  Sink sink;
  Router router;
  router.Add("/sink", Role::kAnybody, sink);
  const std::string request = RequestBytes();
  for (auto _ : state) {
    const auto server = Serve(router, log, kind);
    std::vector<Client> connections;
    connections.reserve(count);
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (size_t i = 0; i < count; ++i) {
      connections.emplace_back(server->port(), kind);
      connections.back().SendAll(request);
      connections.back().AwaitAnswers(1);
    }
    Require(server->stats().open_connections == count);
    const size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    state.counters["bytes_a_connection"] = static_cast<double>(after - before) / static_cast<double>(count);
  }
}
// With TLS the client's sessions count too: they are about as large as the server's.
BENCHMARK_CAPTURE(IdleConnections, plain, Kind::kPlain)->Arg(9'900)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(IdleConnections, tls, Kind::kTls)->Arg(2'000)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mi::net
