// The questions of the query API, one function each: parameters and a snapshot in, a response out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/http.h"
#include "query/select.h"
#include "web/envelope.h"

namespace mi::web {

// One request, ready to be answered. Threads: confined to the thread that answers.
struct Asked {
  net::FormParameters parameters;     // the body's before the URL's
  std::string label;                  // of /api/v1/label/<label>/values, as it stands in the path
  std::vector<std::string> tenants;   // none: all
  std::vector<std::string> warnings;  // that any answer must carry
  std::shared_ptr<const catalog::Snapshot> snapshot;
  int64_t now_ms = 0;
  const query::Patience* patience = nullptr;  // none: it may take as long as it takes
};

// What it gives when the patience has ended is not the answer.
using Answer = net::Response (*)(Asked asked);

net::Response AnswerSeries(Asked asked);
net::Response AnswerLabels(Asked asked);
net::Response AnswerLabelValues(Asked asked);
net::Response AnswerMetadata(Asked asked);
net::Response AnswerQuery(Asked asked);
net::Response AnswerQueryRange(Asked asked);

}  // namespace mi::web
