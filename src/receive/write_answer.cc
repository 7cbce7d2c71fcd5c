#include "receive/write_answer.h"

#include "base/format.h"
#include "base/quote.h"

namespace mi::receive {
namespace {

constexpr std::string_view kRetryAfterSeconds = "5";

// A 1.0 answer must not contain these headers; a 2.0 answer without them counts as 415 (remote write 2.0, "Required
// Written Response Headers").
void AddWrittenCounts(codec::Schema schema, const Items& written, net::Response& response) {
  if (schema != codec::Schema::kV2) return;
  response.headers.emplace_back("X-Prometheus-Remote-Write-Samples-Written", format("{}", written.samples));
  response.headers.emplace_back("X-Prometheus-Remote-Write-Histograms-Written", format("{}", written.histograms));
  response.headers.emplace_back("X-Prometheus-Remote-Write-Exemplars-Written", format("{}", written.exemplars));
}

// One line, even if it quotes a sender's line breaks.
net::Response Text(codec::Schema schema, int status, std::string_view line, const Items& written = {}) {
  net::Response response{.status = status, .body = Printable(line) + "\n"};
  AddWrittenCounts(schema, written, response);
  return response;
}

std::string DescribeRefusals(const RequestCounts& counts) {
  if (counts.refused > 0 && counts.refused == counts.series) {
    return format("all {} series refused; the first: {}", counts.series, counts.first_refusal);
  }
  if (counts.refused > 0) {
    return format("{} of {} series refused, the others are kept; the first: {}", counts.refused, counts.series,
                  counts.first_refusal);
  }
  return format("{} exemplars or metadata refused, all series are kept; the first: {}", counts.refused_items,
                counts.first_refusal);
}

void Subtract(const PublishOutcome& outcome, RequestCounts& counts) {
  if (counts.first_refusal.empty()) counts.first_refusal = outcome.first_refusal;
  counts.refused += outcome.refused_series;
  counts.refused_items += outcome.refused_metadata;
  counts.written.samples -= outcome.refused_items.samples;
  counts.written.histograms -= outcome.refused_items.histograms;
  counts.written.exemplars -= outcome.refused_items.exemplars;
}

}  // namespace

// The order of the checks decides which answer wins: 503 first, because a sender that gets 400 drops the whole request,
// also the part that would be accepted later. `outcome` counts as refused what the scan had accepted, so its items are
// subtracted from those that were written. The message shows the first refusal of the scan or, if there was none, the
// first of the stream.
net::Response AnswerTo(codec::Schema schema, RequestCounts counts, const PublishOutcome& outcome) {
  const Status& durable = outcome.status;
  if (!durable && IsWorthRepeating(durable.error().code())) return TryLater(schema, durable.error().message());
  Subtract(outcome, counts);
  if (counts.refused > 0 || counts.refused_items > 0)
    return Text(schema, 400, DescribeRefusals(counts), counts.written);
  if (!durable) return Text(schema, 400, durable.error().message(), counts.written);
  net::Response response{.status = 204, .content_type = ""};
  AddWrittenCounts(schema, counts.written, response);
  return response;
}

net::Response RefuseRequest(codec::Schema schema, const Error& error) { return Text(schema, 400, error.message()); }

net::Response RefuseForm(codec::Schema schema, const Error& error) { return Text(schema, 415, error.message()); }

net::Response RefuseMethod(codec::Schema schema) {
  net::Response response = Text(schema, 405, "remote write is a POST");
  response.headers.emplace_back("Allow", "POST");
  return response;
}

net::Response TryLater(codec::Schema schema, std::string_view because) {
  net::Response response = Text(schema, 503, because);
  response.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  return response;
}

}  // namespace mi::receive
