#include "codec/remote_write.h"

#include <array>
#include <cassert>

#include "base/format.h"
#include "base/restart.h"
#include "codec/walk.h"

namespace mi::codec {
namespace {

std::string_view MetricTypeName(uint64_t type) {
  return model::kMetricTypes[type < model::kMetricTypes.size() ? type : 0];
}

struct MetadataText {
  std::string_view what;
  std::string_view text;
  size_t limit;
  std::string_view option;
};

// Sizes are checked first: they limit the cost of examining and copying the bytes.
Status CheckTexts(std::span<const MetadataText> texts, MetadataBudget& budget) {
  uint64_t size = 0;
  for (const MetadataText& text : texts) {
    if (text.text.size() > text.limit) {
      return Fail(Errc::kTooLarge, format("metadata: {} of {}, limit {} ({})", text.what, FormatBytes(text.text.size()),
                                          FormatBytes(text.limit), text.option));
    }
    size += text.text.size();
  }
  if (size > budget.limit - budget.used) {
    return Fail(Errc::kTooLarge,
                format("metadata: {} if that of the whole request is written out, limit {} (receive.max_decoded_bytes)",
                       FormatBytesAbove(budget.used + size, budget.limit), FormatBytes(budget.limit)));
  }
  budget.used += size;
  for (const MetadataText& text : texts) {
    if (!IsValidUtf8(text.text)) return Fail(Errc::kInvalid, format("metadata: {} is not UTF-8", text.what));
  }
  return {};
}

}  // namespace

size_t CountFields(std::string_view decoded) {
  wire::FieldReader fields(decoded);
  size_t count = 0;
  while (fields.Next()) ++count;
  return count;
}

// The arrays are emptied, not freed (base/restart.h): after a few requests a scan allocates nothing. The result refers
// to the decoded request and, for 2.0, to symbols_, so it is valid only until the next Scan. If a walk fails, the lists
// may hold a part of the request; the caller must not use them.
Status RequestScan::Scan(Schema schema, std::string_view decoded, const model::LocalHasher& hasher,
                         const ScanBounds& bounds) {
  schema_ = schema;
  decoded_ = decoded;
  max_label_bytes_ = MaxLabelBytes(decoded.size());
  Restart(series_);
  Restart(keys_);
  Restart(metadata_);
  symbols_.Clear();
  histograms_taken_ = 0;
  refused_items_ = 0;
  first_refused_item_.clear();
  if (schema == Schema::kV1) return V1Walk(*this, decoded, hasher, bounds).Run();
  return V2Walk(*this, decoded, hasher, bounds).Run();
}

Status RequestScan::Examine(std::span<const uint32_t> series, const model::LocalHasher& hasher) {
  if (schema_ != Schema::kV1) return {};
  return V1Walk(*this, decoded_, hasher, {}).Examine(series);
}

void RequestScan::Add(std::string_view canonical, const model::Fingerprint& key) {
  assert(schema_ == Schema::kV1);
  series_.push_back({.message = canonical, .labels = canonical, .samples = 1});
  keys_.push_back(key);
}

Result<model::MetricMetadata> RequestScan::Decode(const ScannedMetadata& metadata, const SeriesLimits& limits,
                                                  MetadataBudget& budget) const {
  std::string_view family;
  std::string_view help;
  std::string_view unit;
  uint64_t type = 0;
  auto symbol = [this](uint64_t ref) { return symbols_.text(static_cast<uint32_t>(ref)); };  // the walk has checked it
  wire::FieldReader reader(metadata.message);
  while (reader.Next()) {
    const wire::Field& field = reader.field();
    if (field.number == 1) type = static_cast<uint32_t>(field.scalar);
    if (schema_ == Schema::kV2) {
      if (field.number == 3) help = symbol(field.scalar);
      if (field.number == 4) unit = symbol(field.scalar);
    } else {
      if (field.number == 2) family = field.bytes;
      if (field.number == 4) help = field.bytes;
      if (field.number == 5) unit = field.bytes;
    }
  }
  if (schema_ == Schema::kV2) {
    const ScannedSeries& series = series_[metadata.series];
    family = FamilyOf(series, symbol(NameOf(series)), type);
  }
  // A help text may be as long as a series, not only as a label value.
  const std::array<MetadataText, 3> texts = {
      MetadataText{"family name", family, limits.max_value_bytes, "receive.max_value_bytes"},
      MetadataText{"unit", unit, limits.max_value_bytes, "receive.max_value_bytes"},
      MetadataText{"help", help, limits.max_series_bytes, "receive.max_series_bytes"}};
  TRY(CheckTexts(texts, budget));
  return model::MetricMetadata{.family = std::string(family),
                               .type = std::string(MetricTypeName(type)),
                               .help = std::string(help),
                               .unit = std::string(unit)};
}

// The series of a family have its name with suffixes that depend on the type, as in the exposition formats. A native
// histogram has the name of its family. A counter keeps its `_total`: in the text format, which most targets have, it
// belongs to the family's name.
std::string_view RequestScan::FamilyOf(const ScannedSeries& series, std::string_view metric_name, uint64_t type) {
  constexpr std::array<std::string_view, 3> kHistogram = {"_bucket", "_sum", "_count"};
  constexpr std::array<std::string_view, 3> kGaugeHistogram = {"_bucket", "_gsum", "_gcount"};
  constexpr std::array<std::string_view, 2> kSummary = {"_sum", "_count"};
  constexpr std::array<std::string_view, 1> kInfo = {"_info"};
  std::span<const std::string_view> suffixes;
  if (type == 3 && series.histograms == 0) suffixes = kHistogram;
  if (type == 4 && series.histograms == 0) suffixes = kGaugeHistogram;
  if (type == 5) suffixes = kSummary;
  if (type == 6) suffixes = kInfo;
  for (const std::string_view suffix : suffixes) {
    if (metric_name.size() > suffix.size() && metric_name.ends_with(suffix)) {
      return metric_name.substr(0, metric_name.size() - suffix.size());
    }
  }
  return metric_name;
}

std::string_view RequestScan::MetricName(const ScannedSeries& series) const {
  return symbols_.empty() ? std::string_view() : symbols_.text(NameOf(series));
}

bool Walk::ReadOddSample(std::string_view message, uint64_t& bits) {
  bits = 0;
  wire::FieldReader reader(message);
  while (reader.Next()) {
    const wire::Field& field = reader.field();
    if (field.number == 1) bits = field.scalar;
    if (field.number == 1 && field.type != wire::Type::kFixed64) return false;
    if (field.number == 2 && field.type != wire::Type::kVarint) return false;
  }
  return reader.ok();
}

bool Walk::TakeHistogram(std::string_view message, ScannedSeries& series) {
  if (++scan_.histograms_taken_ > max_series_) return false;
  if (!ReadHistogram(message, scan_.histogram_)) return false;
  ++series.histograms;
  active_ |= !scan_.histogram_.is_stale();
  if (series.refusal == Refusal::kNone && !Validate(scan_.histogram_)) series.refusal = Refusal::kBadHistogram;
  return true;
}

std::unexpected<Error> Walk::Broken(const char* at) const {
  if (scan_.histograms_taken_ > max_series_) return TooMany("histograms", max_series_);
  return Fail(Errc::kInvalid,
              format("the body is not a remote write {} request: broken after byte {} of {} (decoded)",
                     scan_.schema_ == Schema::kV1 ? "1.0" : "2.0", at - decoded_.data(), decoded_.size()));
}

std::unexpected<Error> Walk::TooMany(std::string_view what, size_t limit) const {
  return Fail(Errc::kTooLarge, format("the request contains more than {} {} in {} (decoded): send smaller requests",
                                      limit, what, FormatBytes(decoded_.size())));
}

}  // namespace mi::codec
