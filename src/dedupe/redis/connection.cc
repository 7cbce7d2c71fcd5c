#include "dedupe/redis/connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

#include "base/fatal.h"
#include "base/format.h"
#include "base/quote.h"

namespace mi::dedupe {
namespace {

using std::chrono::steady_clock;

// MGETs of one look-up that are sent before the first is answered: enough to hide the round trip.
constexpr size_t kPipelinedMgets = 8;

constexpr std::string_view kKeyPrefix = "mi:";
// The keys of a probe. They never exist, and lie in different slots of a Redis Cluster.
constexpr std::array<std::string_view, 2> kProbeKeys = {"mi:", "mi:2"};

// `mi:` + the 16 bytes of a fingerprint.
class Key {
 public:
  explicit Key(model::Fingerprint fingerprint) {
    std::ranges::copy(fingerprint.ToBytes(), std::ranges::copy(kKeyPrefix, bytes_.begin()).out);
  }
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, kKeyPrefix.size() + 16> bytes_;
};

std::string AddressOf(const RedisOptions& options) {
  return options.host.starts_with('/') ? options.host : format("{}:{}", options.host, options.port);
}

// A line of Redis' protocol: how many words or bytes follow.
void AppendSize(char kind, size_t size, std::string& out) {
  std::array<char, 20> digits;
  out.push_back(kind);
  out.append(digits.data(), std::to_chars(digits.begin(), digits.end(), size).ptr);
  out += "\r\n";
}

// How error replies begin that a changed option prevents.
struct Refusal {
  std::string_view beginning;
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

// How a node of a Redis Cluster refuses keys of several slots, keys of another node, or redis.db.
constexpr std::array<std::string_view, 6> kClusterRefusals = {
    "CROSSSLOT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "ERR SELECT is not allowed in cluster mode"};

Error Refused(const RedisOptions& options, std::string_view reply) {
  const std::string text = Printable(reply);
  // Without the reply, which names another slot each time: one fault, one log line.
  if (std::ranges::any_of(kClusterRefusals, [&](std::string_view one) { return text.starts_with(one); })) {
    return {Errc::kInvalid,
            format("redis at {} is part of a Redis Cluster, which is not supported: redis.host must name one primary "
                   "without cluster mode, or a proxy that splits MGET by slots",
                   AddressOf(options))};
  }
  const auto* const refusal =
      std::ranges::find_if(kRefusals, [&](const Refusal& one) { return text.starts_with(one.beginning); });
  if (refusal != kRefusals.end()) {
    return {Errc::kInvalid, format("redis at {} refuses: {} ({})", AddressOf(options), text, refusal->option)};
  }
  const Errc code = text.starts_with("LOADING") ? Errc::kUnavailable : Errc::kOverloaded;
  return {code, format("redis at {} answers: {}", AddressOf(options), text)};
}

}  // namespace

void RedisConnection::FreeContext::operator()(redisContext* context) const { redisFree(context); }
void RedisConnection::FreeReply::operator()(redisReply* reply) const { freeReplyObject(reply); }

// An idle connection may have been closed by the other side (a restart, `timeout` in redis.conf, a proxy), or may lead
// to a server that is no longer the primary (a failover). So a failure on an existing connection is tried once more,
// over a new one. Any failure closes the connection, because replies may be outstanding.
template <typename Exchange>
auto RedisConnection::Retrying(Deadline deadline, Exchange exchange) -> decltype(exchange()) {
  if (context_ != nullptr) {
    auto result = exchange();
    if (result) return result;
    Close();
    if (steady_clock::now() >= deadline || stop_.requested()) return result;
  }
  if (const Status opened = Open(deadline); !opened) {
    Close();
    return Fail(opened.error());
  }
  auto result = exchange();
  if (!result) Close();
  return result;
}

// Keeps up to kPipelinedMgets commands under way: each reply that is read makes room for the next command. Redis
// answers in order, so the flags are appended in order. A partial result is never returned: after any error the
// connection is closed, and its outstanding replies are gone with it.
Result<std::vector<bool>> RedisConnection::Find(std::span<const model::Fingerprint> fingerprints,
                                                size_t keys_per_command, Deadline deadline) {
  assert(keys_per_command > 0);
  const size_t commands = (fingerprints.size() + keys_per_command - 1) / keys_per_command;
  const auto part_of = [&](size_t command) {
    const auto rest = fingerprints.subspan(command * keys_per_command);
    return rest.first(std::min(keys_per_command, rest.size()));
  };
  return Retrying(deadline, [&]() -> Result<std::vector<bool>> {
    std::vector<bool> known;
    known.reserve(fingerprints.size());
    size_t sent = 0;
    for (size_t answered = 0; answered < commands; ++answered) {
      for (; sent < std::min(commands, answered + kPipelinedMgets); ++sent) {
        const std::vector<Key> keys(part_of(sent).begin(), part_of(sent).end());
        std::vector<std::string_view> words = {"MGET"};
        for (const Key& key : keys) words.push_back(key.view());
        Append(words);
      }
      const Reply reply = TRY(Read(deadline));
      if (reply->type != REDIS_REPLY_ARRAY || reply->elements != part_of(answered).size()) {
        return Fail(Unavailable("the reply to MGET has another shape than documented"));
      }
      for (const redisReply* element : std::span(reply->element, reply->elements)) {
        known.push_back(element->type == REDIS_REPLY_STRING);
      }
    }
    return known;
  });
}

Status RedisConnection::Store(std::span<const model::Fingerprint> fingerprints,
                              std::span<const std::chrono::seconds> lifetimes, Deadline deadline) {
  assert(lifetimes.empty() || lifetimes.size() == fingerprints.size());
  return Retrying(deadline, [&]() -> Status {
    for (size_t i = 0; i < fingerprints.size(); ++i) {
      const Key key(fingerprints[i]);
      if (lifetimes.empty()) {
        Append({"SET", key.view(), "1"});
      } else {
        Append({"SET", key.view(), "1", "EX", std::to_string(lifetimes[i].count())});
      }
    }
    for (size_t i = 0; i < fingerprints.size(); ++i) TRY(Read(deadline));
    return {};
  });
}

Status RedisConnection::Probe(Deadline deadline) {
  return Retrying(deadline, [&] { return SendProbe(deadline); });
}

// Resolving the host's name is outside the deadline: getaddrinfo has none.
Status RedisConnection::Open(Deadline deadline) {
  if (stop_.requested()) return Fail(Unavailable("the process is stopping"));
  context_.reset(options_.host.starts_with('/')
                     ? redisConnectUnixNonBlock(options_.host.c_str())
                     : redisConnectNonBlock(options_.host.c_str(), static_cast<int>(options_.port)));
  if (context_ == nullptr) OutOfMemory();
  if (context_->err != 0) return Fail(Broken());
  TRY(Await(POLLOUT, deadline));
  int fault = 0;
  socklen_t size = sizeof(fault);
  if (getsockopt(context_->fd, SOL_SOCKET, SO_ERROR, &fault, &size) != 0) fault = errno;
  if (fault != 0) return Fail(Unavailable(std::generic_category().message(fault)));
  TRY(LogIn(deadline));
  return SendProbe(deadline);
}

// Each reply is read before the next command is sent: after a refused password, the rest is refused as well, with a
// message that names the wrong option.
Status RedisConnection::LogIn(Deadline deadline) {
  if (!options_.username.empty()) {
    Append({"AUTH", options_.username, options_.password});
    TRY(Read(deadline));
  } else if (!options_.password.empty()) {
    Append({"AUTH", options_.password});
    TRY(Read(deadline));
  }
  if (options_.db == 0) return {};
  Append({"SELECT", format("{}", options_.db)});
  TRY(Read(deadline));
  return {};
}

Status RedisConnection::SendProbe(Deadline deadline) {
  Append({"MGET", kProbeKeys[0], kProbeKeys[1]});
  TRY(Read(deadline));
  return {};
}

// As an array of texts: "*2\r\n$4\r\nMGET\r\n$3\r\nmi:\r\n". Not with redisAppendCommandArgv, which formats each number
// with a printf of its own and copies the command twice; a new series costs a look-up and a SET.
void RedisConnection::Append(std::span<const std::string_view> words) {
  command_.clear();
  AppendSize('*', words.size(), command_);
  for (const std::string_view word : words) {
    AppendSize('$', word.size(), command_);
    command_ += word;
    command_ += "\r\n";
  }
  if (redisAppendFormattedCommand(context_.get(), command_.data(), command_.size()) != REDIS_OK) OutOfMemory();
}

// hiredis has two buffers, of bytes to be sent and of bytes that have come; this loop moves both until the next reply
// is complete. It writes and reads in one loop: if it sent a large pipeline first and read afterwards, both sides could
// wait for the other to empty its socket's buffer. The socket does not block: a write or read that is not possible yet
// moves no bytes and is no error. Only Await() waits; the deadline and the stop end it.
Result<RedisConnection::Reply> RedisConnection::Read(Deadline deadline) {
  for (;;) {
    void* found = nullptr;
    if (redisGetReplyFromReader(context_.get(), &found) != REDIS_OK) return Fail(Broken());
    if (found != nullptr) {
      Reply reply(static_cast<redisReply*>(found));
      if (reply->type == REDIS_REPLY_ERROR) return Fail(Refused(options_, {reply->str, reply->len}));
      return reply;
    }
    int all_sent = 0;
    if (redisBufferWrite(context_.get(), &all_sent) != REDIS_OK) return Fail(Broken());
    TRY(Await(all_sent != 0 ? POLLIN : POLLIN | POLLOUT, deadline));
    if (redisBufferRead(context_.get()) != REDIS_OK) return Fail(Broken());
  }
}

Status RedisConnection::Await(short events, Deadline deadline) const {
  const std::expected<short, WaitEnd> ready = WaitReady(context_->fd, events, deadline, stop_);
  if (ready) return {};
  if (ready.error() == WaitEnd::kStopped) return Fail(Unavailable("the process is stopping"));
  return Fail(Unavailable(format("no answer within {} ms (redis.timeout)", options_.timeout.count())));
}

Error RedisConnection::Broken() const {
  const bool system = context_->err == REDIS_ERR_IO && errno != 0 && context_->errstr[0] == '\0';
  return Unavailable(system ? std::generic_category().message(errno) : std::string(context_->errstr));
}

Error RedisConnection::Unavailable(std::string_view why) const {
  return {Errc::kUnavailable, format("redis at {} (redis.host, redis.port): {}", AddressOf(options_), why)};
}

}  // namespace mi::dedupe
