// GET /api/v1/metrics/cache?key=<identity>: whether a series is in the local table.
//
// The answer has the form that the service had which this one replaces:
// {"code":200,"message":"OK","data":{"key","value","count"}}.
#pragma once

#include <string>

#include "dedupe/seen_set.h"
#include "net/http.h"

namespace mi::receive {

// Threads: safe. The table outlives it.
class CacheHandler final : public net::Handler {
 public:
  CacheHandler(std::string identity_secret, dedupe::SeenSet& seen)
      : identity_secret_(std::move(identity_secret)), seen_(seen) {}

  net::HeadDecision Head(const net::Request& request) override;

 private:
  net::Response Find(const net::Request& request) const;

  const std::string identity_secret_;
  dedupe::SeenSet& seen_;
};

}  // namespace mi::receive
