// Where Redis is, and how it is told what is durable (docs/configuration.md: redis, metric_store.cache).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mi::dedupe {

// What may change while it runs: metric_store.cache.
struct RedisWriteOptions {
  bool expires = true;                   // isexpire
  std::chrono::seconds expire{604'800};  // expire
  std::chrono::seconds spread{345'600};  // dist_interval: life = expire − spread + random(spread)
  uint64_t workers = 10;                 // worker_num: connections for writes
  uint64_t flush_keys = 1000;            // flush_lens: keys a pipeline, of reads too
  std::chrono::milliseconds flush_interval =
      std::chrono::seconds(3);  // longest wait for a pipeline to fill, while another is under way
};

struct RedisOptions {
  std::string host = "127.0.0.1";  // or the path of a unix socket, when it begins with '/'
  uint16_t port = 6379;
  std::string username;  // '' = the default user
  std::string password;
  uint64_t db = 0;
  uint64_t pool_size = 16;  // most connections of all kinds; at least 3
  std::chrono::milliseconds timeout = std::chrono::seconds(1);
  RedisWriteOptions writes;
};

}  // namespace mi::dedupe
