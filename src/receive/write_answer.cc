#include "receive/write_answer.h"

#include "base/format.h"
#include "base/quote.h"

namespace mi::receive {
namespace {

constexpr std::string_view kRetryAfterSeconds = "5";

// A 1.0 answer must not carry these; a 2.0 answer without them counts as 415 (remote write 2.0, "Required Written
// Response Headers").
void AddWrittenCounts(codec::Schema schema, const Tally& written, net::Response& response) {
  if (schema != codec::Schema::kV2) return;
  response.headers.emplace_back("X-Prometheus-Remote-Write-Samples-Written", format("{}", written.samples));
  response.headers.emplace_back("X-Prometheus-Remote-Write-Histograms-Written", format("{}", written.histograms));
  response.headers.emplace_back("X-Prometheus-Remote-Write-Exemplars-Written", format("{}", written.exemplars));
}

// One line, whatever a sender has put into what is repeated here.
net::Response Text(int status, std::string_view line) {
  net::Response response{.status = status};
  AppendPrintable(line, response.body);
  response.body.push_back('\n');
  return response;
}

std::string Describe(const Tally& tally) {
  if (tally.refused > 0 && tally.refused == tally.series) {
    return format("all {} series refused; the first: {}", tally.series, tally.first_refusal);
  }
  if (tally.refused > 0) {
    return format("{} of {} series refused, the others are kept; the first: {}", tally.refused, tally.series,
                  tally.first_refusal);
  }
  return format("{} exemplars or metadata refused, all series are kept; the first: {}", tally.refused_items,
                tally.first_refusal);
}

// A request of which nothing was written.
net::Response Refuse(codec::Schema schema, int status, std::string_view line) {
  net::Response response = Text(status, line);
  AddWrittenCounts(schema, Tally{}, response);
  return response;
}

void Deduct(const StreamRefusals& refusals, Tally& tally) {
  if (tally.first_refusal.empty()) tally.first_refusal = refusals.first;
  tally.refused += refusals.series;
  tally.refused_items += refusals.statements;
  tally.samples -= refusals.items.samples;
  tally.histograms -= refusals.items.histograms;
  tally.exemplars -= refusals.items.exemplars;
}

}  // namespace

net::Response AnswerTo(codec::Schema schema, Tally tally, const Status& durable, const StreamRefusals& refusals) {
  if (!durable && IsWorthRepeating(durable.error().code())) return TryLater(schema, durable.error().message());
  Deduct(refusals, tally);
  net::Response response{.status = 204, .content_type = ""};
  if (tally.refused > 0 || tally.refused_items > 0) {
    response = Text(400, Describe(tally));
  } else if (!durable) {
    response = Text(400, durable.error().message());
  }
  AddWrittenCounts(schema, tally, response);
  return response;
}

net::Response RefuseRequest(codec::Schema schema, const Error& error) { return Refuse(schema, 400, error.message()); }

net::Response RefuseForm(codec::Schema schema, const Error& error) { return Refuse(schema, 415, error.message()); }

net::Response RefuseMethod(codec::Schema schema) {
  net::Response response = Refuse(schema, 405, "remote write is a POST");
  response.headers.emplace_back("Allow", "POST");
  return response;
}

net::Response TryLater(codec::Schema schema, std::string_view because) {
  net::Response response = Refuse(schema, 503, because);
  response.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  return response;
}

}  // namespace mi::receive
