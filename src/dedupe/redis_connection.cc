#include "dedupe/redis_connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/quote.h"
#include "dedupe/redis_key.h"

namespace mi::dedupe {
namespace {

using std::chrono::steady_clock;

std::string TextOf(const redisReply& reply) {
  return Printable({reply.str, reply.len});
}

// What Redis refuses, and which option says otherwise.
struct Refusal {
  std::string_view begins;
  std::string_view option;
};
constexpr std::array<Refusal, 8> kRefusals = {{
    {"WRONGPASS", "redis.password, redis.username"},
    {"NOAUTH", "redis.password"},
    {"ERR invalid password", "redis.password"},
    {"ERR AUTH <password> called without", "redis.password"},
    {"ERR Client sent AUTH, but no password", "redis.password"},
    {"ERR wrong number of arguments for 'auth'", "redis.username"},
    {"ERR DB index is out of range", "redis.db"},
    {"NOPERM", "redis.username"},
}};

Error Refused(const RedisOptions& options, const redisReply& reply) {
  const std::string text = TextOf(reply);
  const auto at =
      std::ranges::find_if(kRefusals, [&](const Refusal& refusal) { return text.starts_with(refusal.begins); });
  if (at != kRefusals.end()) {
    return {Errc::kInvalid, format("redis at {} refuses: {} ({})", AddressOf(options), text, at->option)};
  }
  const Errc code = text.starts_with("LOADING") ? Errc::kUnavailable : Errc::kOverloaded;
  return {code, format("redis at {} answers: {}", AddressOf(options), text)};
}

}  // namespace

std::string AddressOf(const RedisOptions& options) {
  return options.host.starts_with('/') ? options.host : format("{}:{}", options.host, options.port);
}

Interrupt::Interrupt() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Interrupt::~Interrupt() { close(fd_); }

void Interrupt::Raise() {
  raised_ = true;  // before anybody wakes
  eventfd_write(fd_, 1);
}

Result<std::unique_ptr<RedisConnection>> RedisConnection::Open(const RedisOptions& options, const Interrupt& interrupt,
                                                               Deadline deadline) {
  redisContext* context = options.host.starts_with('/') ? redisConnectUnixNonBlock(options.host.c_str())
                                                        : redisConnectNonBlock(options.host.c_str(), options.port);
  std::unique_ptr<RedisConnection> connection(new RedisConnection(options, interrupt, context));
  if (context == nullptr) return Fail(connection->Away("no memory"));
  if (context->err != 0) return Fail(connection->Broken());
  if (const Status begun = connection->Begin(deadline); !begun) return Fail(begun.error());
  return connection;
}

Status RedisConnection::Begin(Deadline deadline) {
  if (const Result<short> ready = Await(POLLOUT, deadline); !ready) return Fail(ready.error());
  int fault = 0;
  socklen_t size = sizeof(fault);
  if (getsockopt(context_->fd, SOL_SOCKET, SO_ERROR, &fault, &size) != 0) fault = errno;
  if (fault != 0) return Fail(Away(std::generic_category().message(fault)));

  // Answers are read one by one: after a password that is refused, the rest is too.
  std::vector<std::vector<std::string>> commands;
  if (!options_.username.empty()) {
    commands.push_back({"AUTH", options_.username, options_.password});
  } else if (!options_.password.empty()) {
    commands.push_back({"AUTH", options_.password});
  }
  if (options_.db != 0) commands.push_back({"SELECT", format("{}", options_.db)});
  for (const auto& words : commands) {
    Append(std::vector<std::string_view>(words.begin(), words.end()));
    if (const Result<RedisReply> reply = Read(deadline); !reply) return Fail(reply.error());
  }
  return Probe(deadline);
}

Status RedisConnection::Probe(Deadline deadline) {
  Append({"MGET", kRedisPrefix});
  if (const Result<RedisReply> reply = Read(deadline); !reply) return Fail(reply.error());
  return {};
}

void RedisConnection::Append(std::span<const std::string_view> words) {
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  texts.reserve(words.size());
  sizes.reserve(words.size());
  for (const std::string_view word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  if (redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), texts.data(), sizes.data()) != REDIS_OK) {
    throw std::bad_alloc();
  }
}

Result<RedisReply> RedisConnection::Read(Deadline deadline) {
  for (;;) {
    void* found = nullptr;
    if (redisGetReplyFromReader(context_.get(), &found) != REDIS_OK) return Fail(Broken());
    if (found != nullptr) {
      RedisReply reply(static_cast<redisReply*>(found));
      if (reply->type == REDIS_REPLY_ERROR) return Fail(Refused(options_, *reply));
      return reply;
    }
    if (const Status moved = Transfer(deadline); !moved) return Fail(moved.error());
  }
}

Status RedisConnection::Transfer(Deadline deadline) {
  int sent_all = 0;
  if (redisBufferWrite(context_.get(), &sent_all) != REDIS_OK) return Fail(Broken());
  const Result<short> ready = Await(sent_all != 0 ? POLLIN : POLLIN | POLLOUT, deadline);
  if (!ready) return Fail(ready.error());
  if ((*ready & ~POLLOUT) != 0 && redisBufferRead(context_.get()) != REDIS_OK) return Fail(Broken());
  return {};
}

Result<short> RedisConnection::Await(short events, Deadline deadline) const {
  std::array<pollfd, 2> polled = {{{context_->fd, events, 0}, {interrupt_.fd(), POLLIN, 0}}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    const int found = poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (polled[1].revents != 0) return Fail(Away("the service is stopping"));
    if (found > 0) return polled[0].revents;
    if (found == 0) return Fail(Away(format("no answer within {} ms (redis.timeout)", options_.timeout.count())));
    if (errno != EINTR) return Fail(Away(std::generic_category().message(errno)));
  }
}

Error RedisConnection::Broken() const {
  const bool system = context_->err == REDIS_ERR_IO && errno != 0 && context_->errstr[0] == '\0';
  return Away(system ? std::generic_category().message(errno) : std::string(context_->errstr));
}

Error RedisConnection::Away(std::string_view why) const {
  return {Errc::kUnavailable, format("redis at {} (redis.host, redis.port): {}", AddressOf(options_), why)};
}

}  // namespace mi::dedupe
