// For tests of the server: a server on a free port, handlers made of lambdas, and a peer that sends exactly the bytes
// of the test.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <charconv>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "net/listener.h"
#include "net/server.h"

namespace mi::net {

inline constexpr std::chrono::seconds kPatience{30};  // until a test fails; a passing test never waits that long

// Records log lines, so that a test can wait for them.
class LogBook final : public telemetry::Logger {
 public:
  bool Enabled(telemetry::Level) const override { return true; }
  void Write(telemetry::Level, std::string_view message) override { lines_.TryPush(std::string(message)); }
  // The next line that has been logged.
  std::string Next() { return lines_.PopUntil(std::chrono::steady_clock::now() + kPatience).value_or("nothing"); }

 private:
  BoundedQueue<std::string> lines_{1000};
};

// A request that the test answers.
struct Parked {
  std::string path;
  std::string body;
  Reply reply;
};

class LambdaHandler final : public Handler {
 public:
  using HandleFunction = std::function<void(const Request&, Reply)>;
  // May leave `handle` empty: the first function then handles what is not answered.
  using HeadFunction = std::function<HeadDecision(const Request&)>;
  explicit LambdaHandler(HandleFunction handle, HeadFunction head = {})
      : handle_(std::move(handle)), head_(std::move(head)) {}
  HeadDecision Head(const Request& request) override {
    HeadDecision decision = head_ ? head_(request) : HeadDecision{};
    if (!decision.answer && !decision.handle) decision.handle = handle_;
    return decision;
  }
  const HandleFunction& handle() const { return handle_; }

 private:
  HandleFunction handle_;
  HeadFunction head_;
};

struct Answer {
  int status = 0;
  std::string head;
  std::string body;
  bool Says(std::string_view header) const {
    return head.find("\r\n" + std::string(header) + "\r\n") != std::string::npos;
  }
};

// A plain socket. Gives up after kPatience.
class Peer {
 public:
  explicit Peer(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) { Connect(port); }
  virtual ~Peer() = default;
  Peer(Peer&&) = default;
  Peer& operator=(Peer&&) = default;
  explicit Peer(FileDescriptor unconnected) : socket_(std::move(unconnected)) {}
  // Comes from another address of this machine, such as "127.0.0.2".
  Peer(uint16_t port, const char* source) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, source, &address.sin_addr);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    Connect(port);
  }

  void Connect(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    const int on = 1;
    setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  // Returns false if the other side has closed.
  virtual bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void SayEnd() { shutdown(socket_.get(), SHUT_WR); }
  // Closes so that the other side gets a reset.
  void Vanish() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket_ = FileDescriptor();
  }

  // The next answer. Status 0 if the connection ended instead.
  Answer Read(bool head_only = false) {
    Answer answer;
    size_t end = 0;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!Receive()) return answer;
    }
    answer.head = Take(end + 4);
    answer.status = std::stoi(answer.head.substr(9, 3));
    if (head_only || answer.status == 100 || answer.status == 204) return answer;
    const size_t length = answer.head.find("Content-Length: ");
    if (answer.Says("Transfer-Encoding: chunked")) {
      ReadChunks(answer);
    } else if (length != std::string::npos) {
      const size_t size = std::stoull(answer.head.substr(length + 16));
      while (received_.size() < size && Receive()) {
      }
      answer.body = Take(size);
    } else {
      answer.body = ReadToEnd();
    }
    return answer;
  }
  std::string ReadToEnd() {
    while (Receive()) {
    }
    return Take(received_.size());
  }
  // Waits for the end of the connection. Returns true if nothing came before it.
  bool Ended() { return ReadToEnd().empty(); }
  // Returns false at the end of the connection.
  virtual bool Receive() {
    pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count()));
    EXPECT_EQ(ready, 1) << "the server sent nothing for too long";
    char bytes[65536];
    const ssize_t got = ready == 1 ? recv(socket_.get(), bytes, sizeof bytes, 0) : 0;
    if (got > 0) received_.append(bytes, static_cast<size_t>(got));
    return got > 0;
  }
  int fd() const { return socket_.get(); }

 protected:
  void Append(std::string_view bytes) { received_.append(bytes); }

 private:
  std::string Take(size_t size) {
    std::string taken = received_.substr(0, size);
    received_.erase(0, size);
    return taken;
  }
  void ReadChunks(Answer& answer) {
    for (;;) {
      size_t line = 0;
      while ((line = received_.find("\r\n")) == std::string::npos) {
        if (!Receive()) return answer.body.append("<cut>"), void();
      }
      size_t size = 0;
      std::from_chars(received_.data(), received_.data() + line, size, 16);
      Take(line + 2);
      while (received_.size() < size + 2) {
        if (!Receive()) return answer.body.append("<cut>"), void();
      }
      answer.body += Take(size);
      Take(2);
      if (size == 0) return;
    }
  }

  FileDescriptor socket_;
  std::string received_;
};

// Serves /echo (the body), /park (whatever the test answers), and what a test adds before Start().
class ServerTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kMaxEcho = 1 << 20;

  ServerTest() {
    options_.listen = "127.0.0.1:0";
    options_.threads = 1;
    Serve("/echo", [](const Request& request, Reply reply) { reply({.body = std::string(request.body())}); });
    Serve("/park/*", [this](const Request& request, Reply reply) {
      Parked parked{std::string(request.path()), std::string(request.body()), std::move(reply)};
      EXPECT_TRUE(parked_.TryPush(std::move(parked)));
    });
  }

  void Serve(std::string_view pattern, LambdaHandler::HandleFunction handle, LambdaHandler::HeadFunction head = {},
             Role role = Role::kAnybody) {
    handlers_.push_back(std::make_unique<LambdaHandler>(std::move(handle), std::move(head)));
    router_.Add(pattern, role, *handlers_.back());
  }
  void Start() {
    Result<std::unique_ptr<Server>> server = Server::Create(options_, router_, log_, gate_);
    ASSERT_TRUE(server.has_value()) << server.error().message();
    server_ = std::move(*server);
    server_->Start();
  }
  Peer Connect() { return Peer(server_->port()); }
  Parked NextParked() {
    std::optional<Parked> parked = parked_.PopUntil(std::chrono::steady_clock::now() + kPatience);
    EXPECT_TRUE(parked.has_value()) << "no request was parked";
    return parked ? std::move(*parked) : Parked{"", "", Reply(nullptr)};
  }
  // Waits for a condition on the counters: the server's threads update them a moment later.
  void Await(const std::function<bool(const Server::Stats&)>& reached) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!reached(server_->stats())) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      std::this_thread::yield();
    }
  }

  static std::string Get(std::string_view target, std::string_view headers = "") {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n" + std::string(headers) + "\r\n";
  }
  static std::string Post(std::string_view target, std::string_view body, std::string_view headers = "") {
    return "POST " + std::string(target) + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n" + std::string(headers) + "\r\n" + std::string(body);
  }
  static std::string PostChunked(std::string_view target, std::string_view chunks) {
    return "POST " + std::string(target) + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
           std::string(chunks);
  }

  ServerOptions options_;
  LogBook log_;
  BoundedQueue<Parked> parked_{1000};
  std::vector<std::unique_ptr<LambdaHandler>> handlers_;
  Router router_;
  Gate* gate_ = nullptr;
  std::unique_ptr<Server> server_;
};

}  // namespace mi::net
