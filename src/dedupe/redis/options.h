// Where Redis is and how it is used (docs/configuration.md: redis, metric_store.cache).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mi::dedupe {

// redis.*
struct RedisOptions {
  std::string host = "127.0.0.1";  // a path that begins with '/' is a unix socket
  uint64_t port = 6379;
  std::string username;  // empty: the default user
  std::string password;
  uint64_t db = 0;
  uint64_t pool_size = 16;  // most connections of all kinds; at least 3
  std::chrono::milliseconds timeout = std::chrono::seconds(1);

  bool operator==(const RedisOptions&) const = default;
};

// The part of metric_store.cache.* that concerns writes. It can change while the process runs.
struct RedisWriteOptions {
  bool expires = true;                                            // isexpire
  std::chrono::milliseconds expire = std::chrono::hours(7 * 24);  // longest lifetime of a key
  std::chrono::milliseconds spread = std::chrono::hours(4 * 24);  // dist_interval: see LifetimeOf in tier.cc
  uint64_t workers = 10;                                          // worker_num: connections for writes
  uint64_t flush_keys = 1000;                                     // flush_lens: keys per pipeline, also of look-ups
  std::chrono::milliseconds flush_interval = std::chrono::seconds(3);  // longest wait for a pipeline to fill

  bool operator==(const RedisWriteOptions&) const = default;
};

}  // namespace mi::dedupe
