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

// One request. Threads: confined to the thread that answers.
struct Question {
  net::FormParameters parameters;     // those of the body before those of the URL
  std::string label;                  // of /api/v1/label/<label>/values, as in the path
  std::vector<std::string> tenants;   // empty: all
  std::vector<std::string> warnings;  // every answer must carry them
  std::shared_ptr<const catalog::Snapshot> snapshot;
  int64_t now_ms = 0;
  query::Bounds* bounds = nullptr;  // null: the computation may cost anything
};

// Once its bounds are exceeded, what it returns is not the answer.
using Endpoint = ApiResult<net::Response> (*)(Question question);

ApiResult<net::Response> AnswerSeries(Question question);
ApiResult<net::Response> AnswerLabels(Question question);
ApiResult<net::Response> AnswerLabelValues(Question question);
ApiResult<net::Response> AnswerMetadata(Question question);
// /api/v1/query and /api/v1/query_range, for expressions that need no samples.
ApiResult<net::Response> AnswerQuery(Question question);
ApiResult<net::Response> AnswerQueryRange(Question question);
// /api/v1/format_query and /api/v1/parse_query, for selectors and for expressions that need no samples.
ApiResult<net::Response> AnswerFormatQuery(Question question);
ApiResult<net::Response> AnswerParseQuery(Question question);

}  // namespace mi::web
