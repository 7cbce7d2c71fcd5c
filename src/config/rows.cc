#include "config/rows.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "config/checks.h"

namespace mi::config {
namespace {

template <typename T>
Member MemberOf(T& member) {
  if constexpr (std::is_enum_v<T>) {
    static_assert(std::is_same_v<std::underlying_type_t<T>, uint8_t>);
    return reinterpret_cast<uint8_t*>(&member);  // may alias: uint8_t is unsigned char
  } else {
    return &member;
  }
}

#define AT(member) [](Config& config, size_t) -> Member { return MemberOf(config.member); }
#define AT_WRITE(member) \
  [](Config& config, size_t element) -> Member { return MemberOf(config.remote_write[element].member); }

constexpr uint64_t kSecond = 1000;  // ranges of durations are in ms
constexpr uint64_t kMinute = 60 * kSecond;
constexpr uint64_t kHour = 60 * kMinute;
constexpr uint64_t kDay = 24 * kHour;
constexpr uint64_t kYear = 365 * kDay;

constexpr auto kLive = Reload::kLive;
constexpr auto kBytes = Unit::kBytes;
constexpr auto kDuration = Unit::kDuration;
constexpr auto kSeconds = Unit::kSeconds;

// clang-format off: a row is a record, not code
constexpr Row kRows[] = {
    {.path = "app.name", .member = AT(app.name), .check = NotEmpty,
     .prose = "What this process is called: app in JSON log lines, name in the metric build_info."},
    {.path = "app.mode", .member = AT(app.mode), .choices = "prod|dev",
     .prose = "dev logs at debug, and to the console too. GO_ENV and METRIC_INDEX_ENV set it."},
    {.path = "app.role_type", .member = AT(app.role_type), .choices = "standalone|producer|consumer|query|all", .flag = "--role",
     .prose = "What this process does. standalone needs nothing else; the others need Kafka, Redis or MySQL."},
    {.path = "app.port", .member = AT(server.port), .max = 65535,
     .prose = "Port of the listener on every address; 0 is any free one. app.listen wins over it."},
    {.path = "app.listen", .member = AT(server.listen), .check = ListenAddress, .flag = "--listen",
     .prose = "Address of the listener, such as 127.0.0.1:7001; empty is every address at app.port."},
    {.path = "app.threads", .member = AT(server.threads), .max = 1024,
     .prose = "Threads that serve requests; 0 is one a core."},
    {.path = "app.data_dir", .member = AT(app.data_dir), .check = NotEmpty, .flag = "--data",
     .prose = "Directory of the journal, the catalogue and the snapshot. One process at a time."},
    {.path = "app.shutdown_timeout", .member = AT(app.shutdown_timeout), .min = kSecond, .max = 10 * kMinute, .unit = kDuration,
     .prose = "Longest stop: what is in flight is answered and flushed within it. Supervisors often kill after 10s."},

    {.path = "log.level", .member = AT(log.level), .choices = "debug|info|warn|error", .reload = kLive,
     .prose = "Least severe level that is written."},
    {.path = "log.filename", .member = AT(log.filename), .reload = kLive,
     .prose = "File of the log; its directories are made. Empty is the console (stderr)."},
    {.path = "log.format", .member = AT(log.format), .choices = "text|json", .reload = kLive,
     .prose = "Lines for people, or one JSON object a line."},
    {.path = "log.max_size", .member = AT(log.max_size_mb), .max = 1'048'576, .reload = kLive,
     .prose = "MiB at which the file is set aside; 0 is never."},
    {.path = "log.max_age", .member = AT(log.max_age_days), .max = 36'500, .reload = kLive,
     .prose = "Days that files set aside are kept; 0 is for ever."},
    {.path = "log.max_backups", .member = AT(log.max_backups), .max = 100'000, .reload = kLive,
     .prose = "How many files set aside are kept; 0 is all."},

    {.path = "receive.max_body_bytes", .member = AT(receive.max_body_bytes), .min = kKiB, .max = kGiB, .unit = kBytes, .reload = kLive,
     .prose = "Largest request body as it is sent."},
    {.path = "receive.max_decoded_bytes", .member = AT(receive.max_decoded_bytes), .min = kKiB, .max = 4 * kGiB, .unit = kBytes, .reload = kLive,
     .prose = "Largest request body once decompressed; checked before memory is taken."},
    {.path = "receive.max_series_bytes", .member = AT(receive.series.max_series_bytes), .min = 64, .max = 16 * kMiB, .unit = kBytes, .reload = kLive,
     .prose = "Largest label set of one series. A series over it is refused, the rest of its request stands."},
    {.path = "receive.max_labels", .member = AT(receive.series.max_labels), .min = 1, .max = 4096, .reload = kLive,
     .prose = "Most labels of one series, the name included."},
    {.path = "receive.max_name_bytes", .member = AT(receive.series.max_name_bytes), .min = 8, .max = 64 * kKiB, .unit = kBytes, .reload = kLive,
     .prose = "Longest label name."},
    {.path = "receive.max_value_bytes", .member = AT(receive.series.max_value_bytes), .min = 8, .max = 16 * kMiB, .unit = kBytes, .reload = kLive,
     .prose = "Longest label value."},
    {.path = "receive.require_metric_name", .member = AT(receive.series.require_metric_name), .reload = kLive,
     .prose = "Refuse series without __name__."},
    {.path = "receive.answer_timeout", .member = AT(receive.answer_timeout), .min = 100, .max = 10 * kMinute, .unit = kDuration, .reload = kLive,
     .prose = "Longest wait for a thread that reads a large request, and for new series to become durable; then 503, and the sender repeats. Keep it below the sender's timeout (30s)."},
    {.path = "receive.max_connections", .member = AT(server.max_connections), .min = 1, .max = 10'000'000, .reload = kLive,
     .prose = "Most connections at once. A further one takes the place of an idle or slow one, unless its address has more than half of them; then it gets 503."},
    {.path = "receive.max_buffered_bytes", .member = AT(server.max_buffered_bytes), .max = 1024 * kGiB, .unit = kBytes,
     .prose = "Most memory for requests, queries and unread answers of all clients; beyond it 503. 0 is a quarter of the memory that the process may use (machine or container), at least 64MiB and at most 1GiB."},
    {.path = "receive.idle_timeout", .member = AT(server.idle_timeout), .min = kSecond, .max = kDay, .unit = kDuration, .reload = kLive,
     .prose = "A connection that sends nothing for this long is closed."},

    {.path = "metric_store.cache.default_expire", .member = AT(seen.confirm_after_s), .min = kSecond, .max = kYear, .unit = kSeconds, .reload = kLive,
     .prose = "Age after which an entry of the local table is asked again in Redis."},
    {.path = "metric_store.cache.cleanup_interval", .member = AT(seen.cleanup_interval), .min = kSecond, .max = kDay, .unit = kSeconds, .reload = kLive,
     .prose = "How often idle entries of the local table are swept."},
    {.path = "metric_store.cache.expire", .member = AT(redis_writes.expire), .min = kSecond, .max = 10 * kYear, .unit = kSeconds, .reload = kLive,
     .prose = "Life of a series in Redis; then it is published again, and the catalogue heals itself."},
    {.path = "metric_store.cache.dist_interval", .member = AT(redis_writes.spread), .max = 10 * kYear, .unit = kSeconds, .reload = kLive,
     .prose = "Spread of that life: expire - dist_interval + random(dist_interval), so that not all end at once."},
    {.path = "metric_store.cache.isexpire", .member = AT(redis_writes.expires), .reload = kLive,
     .prose = "Whether entries in Redis end at all."},
    {.path = "metric_store.cache.worker_num", .member = AT(redis_writes.workers), .min = 1, .max = 1024, .reload = kLive,
     .prose = "Redis connections for writes, as far as redis.pool_size goes."},
    {.path = "metric_store.cache.flush_lens", .member = AT(redis_writes.flush_keys), .min = 1, .max = 100'000, .reload = kLive,
     .prose = "Keys a Redis pipeline."},
    {.path = "metric_store.cache.flush_interval", .member = AT(redis_writes.flush_interval), .min = 1, .max = kHour, .unit = kSeconds, .reload = kLive,
     .prose = "Longest that a key waits for its pipeline to fill."},
    {.path = "metric_store.cache.idle_expire", .member = AT(seen.idle_expire_s), .min = kSecond, .max = kYear, .unit = kSeconds, .reload = kLive,
     .prose = "Entries unseen for this long leave the local table."},
    {.path = "metric_store.cache.max_series", .member = AT(seen.max_series), .max = 1'000'000'000'000, .reload = kLive,
     .prose = "Most entries of the local table; 0 is as many as memory holds."},

    {.path = "metric_store.producer.hosts", .member = AT(publisher.kafka.hosts), .check = HostPort,
     .prose = "Kafka brokers that new series are published to."},
    {.path = "metric_store.producer.topic", .member = AT(publisher.topic), .check = TopicName,
     .prose = "Topic of new series; activity goes to <topic>-activity."},

    {.path = "metric_store.consumer.hosts", .member = AT(consumer.kafka.hosts), .check = HostPort,
     .prose = "Kafka brokers that series are read from."},
    {.path = "metric_store.consumer.topics", .member = AT(consumer.topics), .check = TopicName,
     .prose = "Topics to read; records that can never be stored go to <topic>-dead-letter."},
    {.path = "metric_store.consumer.group_id", .member = AT(consumer.group_id), .check = NotEmpty,
     .prose = "Consumer group."},
    {.path = "metric_store.consumer.work_num", .member = AT(app.work_num), .min = 1, .max = 1024,
     .prose = "Batches that are stored at once, each by its own database connection."},
    {.path = "metric_store.consumer.offset_type", .member = AT(consumer.offset_type), .choices = "oldest|newest",
     .prose = "Where a group starts that has no offset on any partition. A new partition or a lost offset always starts at the oldest."},

    {.path = "librdkafka", .member = AT(librdkafka),
     .prose = "Any option of librdkafka by its own name, such as compression.codec. Those that break a promise of this service are refused."},

    {.path = "redis.host", .member = AT(redis.host), .check = NotEmpty, 
     .prose = "Host of Redis, or the path of its unix socket (/run/redis/redis.sock)."},
    {.path = "redis.port", .member = AT(redis.port), .min = 1, .max = 65535, .prose = "Port of Redis; no meaning for a socket."},
    {.path = "redis.username", .member = AT(redis.username), .prose = "User; empty is the default user."},
    {.path = "redis.password", .member = AT(redis.password), .secret = Secret::kYes, .prose = "Password; empty is none."},
    {.path = "redis.db", .member = AT(redis.db), .max = 1'000'000, .prose = "Database number."},
    {.path = "redis.pool_size", .member = AT(redis.pool_size), .min = 3, .max = 100'000,
     .prose = "Most connections. A few are enough, requests are pipelined: one to watch it, up to 4 to ask, worker_num to tell."},
    {.path = "redis.timeout", .member = AT(redis.timeout), .min = 10, .max = kMinute, .unit = kDuration,
     .prose = "Longest wait for Redis; then the request goes on without it, and its series count as unknown."},

    {.path = "mysql.host", .member = AT(mysql.host), .check = NotEmpty, .prose = "Host of MySQL or MariaDB."},
    {.path = "mysql.port", .member = AT(mysql.port), .min = 1, .max = 65535, .prose = "Port of MySQL or MariaDB."},
    {.path = "mysql.socket", .member = AT(mysql.socket), .prose = "Unix socket; wins over host and port. Empty is TCP."},
    {.path = "mysql.user", .member = AT(mysql.user), .check = NotEmpty, .prose = "User."},
    {.path = "mysql.password", .member = AT(mysql.password), .secret = Secret::kYes, .prose = "Password; empty is none."},
    {.path = "mysql.db_name", .member = AT(mysql.db_name), .check = NotEmpty, .prose = "Database; made when it is missing and the user may."},
    {.path = "mysql.max_open_conns", .member = AT(mysql.max_open_conns), .min = 1, .max = 100'000, .prose = "Most connections; roles consumer and all need metric_store.consumer.work_num + 2."},
    {.path = "mysql.max_idle_conns", .member = AT(mysql.max_idle_conns), .max = 100'000, .prose = "Connections kept open while idle."},
    {.path = "mysql.tls.mode", .member = AT(mysql.tls.mode), .choices = "off|required|verify",
     .prose = "required encrypts; verify also checks the server's certificate and name."},
    {.path = "mysql.tls.ca", .member = AT(mysql.tls.ca), .prose = "File of the certificates that are trusted; empty is the system's."},
    {.path = "mysql.tls.cert", .member = AT(mysql.tls.cert), .prose = "File of the client's certificate; empty is none."},
    {.path = "mysql.tls.key", .member = AT(mysql.tls.key), .prose = "File of the client's key."},

    {.path = "sqlite.synchronous", .member = AT(journal.synchronous), .choices = "full|normal",
     .prose = "full: what was acknowledged survives a power cut. normal: it survives a crash of the process only."},

    {.path = "journal.max_bytes", .member = AT(journal.max_bytes), .min = kMiB, .max = 1024 * kGiB, .unit = kBytes,
     .prose = "standalone: most bytes of series that wait to be indexed; then 503."},

    {.path = "catalog.activity_interval", .member = AT(seen.activity_interval_s), .min = kSecond, .max = 7 * kDay, .unit = kSeconds,
     .prose = "How finely the last sighting of a series is known."},

    {.path = "identity.secret", .member = AT(identity_secret), .secret = Secret::kYes,
     .prose = "Makes fingerprints that outsiders cannot aim at. Empty: a new catalogue makes a random one and keeps it. Another secret is another catalogue: choose it before the first start."},

    {.path = "remote.write[].enabled", .member = AT_WRITE(enabled), .reload = kLive,
     .prose = "Whether requests are passed on to url."},
    {.path = "remote.write[].url", .member = AT_WRITE(url), .check = HttpUrl, .reload = kLive,
     .prose = "Remote-write endpoint of a TSDB, http or https."},
    {.path = "remote.write[].content_type", .member = AT_WRITE(content_type), .check = NotEmpty, .reload = kLive,
     .prose = "Used where the request itself had none."},
    {.path = "remote.write[].queue_bytes", .member = AT_WRITE(queue_bytes), .min = kMiB, .max = 1024 * kGiB, .unit = kBytes, .reload = kLive,
     .prose = "Most bytes that wait for this endpoint, in memory; as many again may wait to become durable first."},
    {.path = "remote.write[].when_full", .member = AT_WRITE(when_full), .choices = "drop_oldest|block", .reload = kLive,
     .prose = "Once they are reached: drop what waited longest, or let senders wait for room, up to receive.answer_timeout (then 503)."},
    {.path = "remote.write[].forward_credentials", .member = AT_WRITE(forward_credentials), .reload = kLive,
     .prose = "Whether the senders' Authorization and Cookie headers are passed on too."},
    {.path = "remote.write[].connect_timeout", .member = AT_WRITE(connect_timeout), .min = 10, .max = 10 * kMinute, .unit = kDuration, .reload = kLive,
     .prose = "Longest wait for a connection."},
    {.path = "remote.write[].timeout", .member = AT_WRITE(timeout), .min = 10, .max = 10 * kMinute, .unit = kDuration, .reload = kLive,
     .prose = "Longest wait for an answer; then it is tried again."},

    {.path = "remote.send.url", .member = AT(remote_send.url), .check = HttpUrl, .reload = kLive,
     .prose = "OpenTSDB put endpoint for what comes to /api/v1/metrics/send; empty is not sent on."},
    {.path = "remote.send.content_type", .member = AT(remote_send.content_type), .check = NotEmpty, .reload = kLive,
     .prose = "Content-Type of those puts."},

    {.path = "web.config_file", .member = AT(web.config_file), .flag = "--web.config.file",
     .prose = "TLS, logins, roles and tenants: the file that all components of Prometheus share, with our extensions (docs/security.md). Empty is neither TLS nor logins. The file itself is read again when it changes."},
    {.path = "web.cors_origin", .member = AT(web.cors_origin),
     .prose = "Origins whose pages may read answers of the query API: a regular expression for the whole origin, .* is all; empty is none."},

    {.path = "pprof.enabled", .member = AT(pprof.enabled), .prose = "Serve profiles at /debug/pprof/."},
    {.path = "pprof.listen", .member = AT(pprof.listen), .check = ListenAddress,
     .prose = "Listener of its own for profiles; empty is the main one."},
};

constexpr Misspelling kMisspellings[] = {
    {"metric_store.consumer", "consummer"},
    {"metric_store.cache.flush_interval", "fulsh_interval"},
    {"mysql.max_idle_conns", "max_idel_conns"},
    {"mysql.db_name", "dbname"},
};

constexpr std::pair<std::string_view, std::string_view> kSections[] = {
    {"app", "The process."},
    {"log", "The log."},
    {"receive", "Limits of what is received."},
    {"metric_store.cache", "What is known: the local table, and Redis behind it."},
    {"metric_store.producer", "Roles producer and all: where new series go."},
    {"metric_store.consumer", "Roles consumer and all: where series come from."},
    {"redis", "Roles producer and all."},
    {"mysql", "Roles consumer, query and all."},
    {"mysql.tls", "Encryption to the database."},
    {"sqlite", "Role standalone: the catalogue's database and the journal."},
    {"journal", "Role standalone: the stream of new series."},
    {"catalog", "The catalogue."},
    {"identity", "How series are told apart."},
    {"remote.write", "Requests passed on to a TSDB: one section, or a list of them. The request's own headers are kept, except credentials."},
    {"remote.send", "OpenTSDB puts passed on."},
    {"web", "Who may connect, and what browsers may do."},
    {"pprof", "Profiles of the running process."},
};
// clang-format on

#undef AT
#undef AT_WRITE

constexpr std::string_view kList = "remote.write";

// "remote.write.url" becomes "remote.write[].url", as its row has it. Other paths stay as they are.
std::string InList(std::string_view path) {
  std::string row_path(path);
  if (path.starts_with(kList) && path.substr(kList.size()).starts_with('.')) row_path.insert(kList.size(), "[]");
  return row_path;
}

}  // namespace

std::span<const Row> Rows() { return kRows; }
std::span<const Misspelling> Misspellings() { return kMisspellings; }

std::string_view ProseOfSection(std::string_view path) {
  const auto at = std::ranges::find(kSections, path, &std::pair<std::string_view, std::string_view>::first);
  return at == std::end(kSections) ? "" : at->second;
}

const Row* FindRow(std::string_view path) {
  const std::string wanted = InList(path);
  const auto at = std::ranges::find(kRows, wanted, &Row::path);
  return at == std::end(kRows) ? nullptr : at;
}

bool IsSection(std::string_view path) {
  const std::string below = InList(path) + ".";
  return std::ranges::any_of(kRows, [&](const Row& row) { return row.path.starts_with(below); });
}

bool IsList(std::string_view path) { return path == kList; }

std::string_view ParentOf(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

std::string_view LastWord(std::string_view path) { return path.substr(path.rfind('.') + 1); }

std::string CorrectSpelling(std::string_view path) {
  std::string right(path);
  for (const auto& [correct, wrong] : kMisspellings) {
    std::string misspelled(ParentOf(correct));
    misspelled += ".";
    misspelled += wrong;
    const bool whole = right == misspelled;
    if (whole || right.starts_with(misspelled + ".")) right.replace(0, misspelled.size(), correct);
  }
  return right;
}

std::string EnvironmentName(std::string_view path) {
  std::string name(kVariablePrefix);
  for (const char c : path) {
    if (c == '[' || c == ']') continue;
    name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

bool HoldsUrl(const Row& row) { return row.check == HttpUrl; }

bool IsSecretKafkaOption(std::string_view option) {
  constexpr std::array<std::string_view, 5> kParts = {"password", "secret", "key.pem", "oauthbearer.config", "token"};
  return std::ranges::any_of(kParts, [&](auto part) { return option.contains(part); });
}

}  // namespace mi::config
