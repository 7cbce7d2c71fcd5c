// How to reach the database, and the limits of working with it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "store/identity_secrets.h"

namespace mi::store {

struct MysqlTlsOptions {
  std::string mode = "off";  // off, required (encrypted), verify (and the server's certificate is checked)
  std::string ca;            // files
  std::string cert;
  std::string key;

  bool operator==(const MysqlTlsOptions&) const = default;
};

struct MysqlOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 3306;
  std::string socket;  // a unix socket; if it is given, host and port are ignored
  std::string user = "metric-index";
  std::string password;
  std::string db_name = "metric-index";
  size_t max_open_conns = 16;
  size_t max_idle_conns = 8;
  MysqlTlsOptions tls;

  IdentitySecrets secrets;
  uint64_t dictionary_bytes = 64 << 20;     // per store: ids of label names and values in memory
  std::chrono::seconds connect_timeout{5};  // also how long a call waits for one of max_open_conns
  // The longest time from the moment that a transaction is given ids and times until others see them. A store gives up
  // after half of it; a reader looks back by all of it. At least 2 s.
  std::chrono::seconds longest_transaction{30};

  bool operator==(const MysqlOptions&) const = default;
};

// The address for messages: "127.0.0.1:3306", or the unix socket.
std::string AddressOf(const MysqlOptions& options);

}  // namespace mi::store
