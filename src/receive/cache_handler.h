// GET /api/v1/metrics/cache?key=<identity>: whether a series is in the local table.
//
// The answer has the form that the service had which this one replaces:
// {"code":200,"message":"OK","data":{"key","value","count"}}.
#pragma once

#include "base/live.h"
#include "dedupe/seen_set.h"
#include "net/http.h"
#include "receive/options.h"

namespace mi::receive {

// Threads: safe. The options and the table outlive it.
class CacheHandler final : public net::Handler {
 public:
  CacheHandler(const Live<ReceiveOptions>& options, dedupe::SeenSet& seen) : options_(options), seen_(seen) {}

  net::HeadDecision Head(const net::Request& request) override;

 private:
  net::Response Find(const net::Request& request) const;

  const Live<ReceiveOptions>& options_;
  dedupe::SeenSet& seen_;
};

}  // namespace mi::receive
