#include "codec/opentsdb.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/format.h"
#include "base/quote.h"
#include "model/labels.h"

namespace mi::codec {
namespace {

using simdjson::dom::element;

// The number that the whole text is; nothing if it is not one.
template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

// Seconds or milliseconds since the epoch, as a number or a text.
bool IsTimestamp(const element& timestamp) {
  int64_t whole = 0;
  double real = 0;
  std::string_view text;
  if (timestamp.get(whole) == simdjson::SUCCESS) return whole > 0;
  if (timestamp.get(real) == simdjson::SUCCESS) return real > 0 && real < 1e18;
  if (timestamp.get(text) == simdjson::SUCCESS) return ParseNumber<int64_t>(text).value_or(0) > 0;
  return false;
}

bool IsValue(const element& value) {
  double real = 0;
  std::string_view text;
  if (value.get(real) == simdjson::SUCCESS) return std::isfinite(real);
  if (value.get(text) == simdjson::SUCCESS) return std::isfinite(ParseNumber<double>(text).value_or(INFINITY));
  return false;
}

struct Fault {
  Refusal refusal;
  std::string message;
};
using Check = std::expected<void, Fault>;

std::unexpected<Fault> Refused(Refusal refusal, std::string message) {
  return std::unexpected(Fault{refusal, std::move(message)});
}

std::unexpected<Fault> Malformed(std::string message) { return Refused(Refusal::kMalformedPoint, std::move(message)); }

// Checks one point and collects its labels. Reused for all points of a body. The labels are views into simdjson's
// document or, for tags that are numbers, into texts_; FromUnsorted copies them before the next point is read. Limits
// are checked label by label, before the canonical bytes are built, so a point with a million tags costs max_labels
// steps beyond its parsing. All refusals concern only their point: the JSON of the whole body is valid by then.
class PointReader {
 public:
  explicit PointReader(const SeriesLimits& limits) : limits_(limits) {}

  OpenTsdbPoint operator()(const element& point) {
    OpenTsdbPoint read{.json = simdjson::minify(point)};
    std::expected<std::string, Fault> canonical = ReadLabels(point);
    if (canonical) {
      read.canonical = *std::move(canonical);
    } else {
      read.refusal = canonical.error().refusal;
      read.fault = std::move(canonical.error().message);
    }
    return read;
  }

 private:
  std::expected<std::string, Fault> ReadLabels(const element& point) {
    labels_.clear();
    texts_.clear();
    TRY(ReadPoint(point));
    const Result<model::Labels> labels = model::Labels::FromUnsorted(labels_);
    if (!labels) return Refused(Refusal::kDuplicateName, labels.error().message());  // no name is empty
    if (const size_t size = labels->canonical().size(); size > limits_.max_series_bytes) {
      return Refused(
          Refusal::kSeriesTooLarge,
          format("metric and tags take {} bytes, limit {} (receive.max_series_bytes)", size, limits_.max_series_bytes));
    }
    return labels->canonical();
  }

  Check ReadPoint(const element& point) {
    simdjson::dom::object fields;
    if (point.get(fields) != simdjson::SUCCESS) return Malformed("a point is not an object");
    std::string_view metric;
    if (fields["metric"].get(metric) != simdjson::SUCCESS || metric.empty()) {
      return Refused(Refusal::kNoMetricName, "Metric name was empty");
    }
    TRY(AddLabel(model::kMetricName, metric));
    element field;
    if (fields["timestamp"].get(field) != simdjson::SUCCESS || !IsTimestamp(field)) {
      return Malformed("Invalid timestamp");
    }
    if (fields["value"].get(field) != simdjson::SUCCESS || !IsValue(field)) {
      return Malformed("Unable to parse value to a number");
    }
    if (fields["tags"].get(field) != simdjson::SUCCESS || field.is_null()) return {};
    return ReadTags(field);
  }

  Check ReadTags(const element& field) {
    simdjson::dom::object tags;
    if (field.get(tags) != simdjson::SUCCESS) return Malformed("tags are not an object");
    texts_.reserve(std::min(tags.size(), limits_.max_labels));  // labels_ points into it, so it must not grow
    for (const auto& tag : tags) {
      const std::optional<std::string_view> value = TextOf(tag.value);
      if (!value) return Malformed(format("tag {} is neither a text nor a number", Quoted(tag.key)));
      if (tag.key.empty() || tag.key == model::kMetricName) {
        return Refused(tag.key.empty() ? Refusal::kEmptyName : Refusal::kDuplicateName,
                       format("a tag cannot be called {}", Quoted(tag.key)));
      }
      if (value->empty()) return Malformed(format("tag {} is empty", Quoted(tag.key)));
      TRY(AddLabel(tag.key, *value));
      if (labels_.size() > limits_.max_labels) {
        return Refused(Refusal::kTooManyLabels, format("more than {} labels (receive.max_labels)", limits_.max_labels));
      }
    }
    return {};
  }

  Check AddLabel(std::string_view name, std::string_view value) {
    if (name.size() > limits_.max_name_bytes) {
      return Refused(Refusal::kNameTooLong, format("tag name {} has {} bytes, limit {} (receive.max_name_bytes)",
                                                   Quoted(name), name.size(), limits_.max_name_bytes));
    }
    if (value.size() > limits_.max_value_bytes) {
      return Refused(Refusal::kValueTooLong, format("{} has a value of {} bytes, limit {} (receive.max_value_bytes)",
                                                    Quoted(name), value.size(), limits_.max_value_bytes));
    }
    labels_.push_back({name, value});
    return {};
  }

  // A number or boolean counts as its text, as in OpenTSDB.
  std::optional<std::string_view> TextOf(const element& value) {
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) return text;
    if (!value.is_number() && !value.is_bool()) return std::nullopt;
    return texts_.emplace_back(simdjson::minify(value));
  }

  const SeriesLimits& limits_;
  std::vector<model::Label> labels_;
  std::vector<std::string> texts_;
};

}  // namespace

Result<std::vector<OpenTsdbPoint>> ReadOpenTsdb(std::string_view body, const SeriesLimits& limits) {
  if (body.empty()) return Fail(Errc::kInvalid, "the body is not JSON: it is empty");
  simdjson::dom::parser parser;
  element root;
  if (const auto error = parser.parse(body.data(), body.size()).get(root); error != simdjson::SUCCESS) {
    return Fail(Errc::kInvalid, format("the body is not JSON: {}", simdjson::error_message(error)));
  }
  PointReader read(limits);
  std::vector<OpenTsdbPoint> points;
  simdjson::dom::array list;
  if (root.get(list) != simdjson::SUCCESS && root["timeseries"].get(list) != simdjson::SUCCESS) {
    if (!root.is_object()) return Fail(Errc::kInvalid, "the body is neither a point nor a list of points");
    points.push_back(read(root));
    return points;
  }
  if (list.size() > kMaxPointsPerBody) {
    return Fail(Errc::kTooLarge, format("the body holds {} points, limit {} (fixed): send smaller requests",
                                        list.size(), kMaxPointsPerBody));
  }
  points.reserve(list.size());
  for (const element point : list) points.push_back(read(point));
  return points;
}

}  // namespace mi::codec
