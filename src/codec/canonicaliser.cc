#include "codec/canonicaliser.h"

#include <algorithm>
#include <cassert>

#include "base/format.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "codec/histogram.h"
#include "codec/wire.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Type;

// Reads a Label message: fields in any order, the last of each counts, unknown ones are skipped.
bool ReadLabel(std::string_view message, model::Label& label) {
  wire::FieldReader reader(message);
  while (reader.Next()) {
    const Field& field = reader.field();
    if (field.number > 2) continue;
    if (field.type != Type::kBytes) return false;
    (field.number == 1 ? label.name : label.value) = field.bytes;
  }
  return reader.ok();
}

// Which series it is, for a message: its number and, if it has one, its metric name.
std::string Describe(const RequestScan& scan, const ScannedSeries& series) {
  const auto number = static_cast<size_t>(&series - scan.series().data()) + 1;
  std::string_view name = scan.MetricName(series);
  if (scan.schema() == Schema::kV1) {
    wire::FieldReader reader(series.message);
    while (reader.Next()) {
      model::Label label;
      if (!reader.field().Is(1, Type::kBytes) || !ReadLabel(reader.field().bytes, label)) continue;
      if (label.name == model::kMetricName) name = label.value;
    }
  }
  const std::string which = format("series {} of {}", number, scan.series().size());
  return name.empty() ? which : format("{}, {}", which, Quoted(name));
}

std::string DescribeBadHistogram(const RequestScan& scan, const ScannedSeries& series) {
  const uint32_t number = scan.schema() == Schema::kV1 ? 4 : 3;
  Histogram histogram;
  wire::FieldReader reader(series.message);
  while (reader.Next()) {
    if (!reader.field().Is(number, Type::kBytes) || !ReadHistogram(reader.field().bytes, histogram)) continue;
    if (const Status valid = Validate(histogram); !valid) {
      return format("native histogram at {}: {}", histogram.timestamp_ms, valid.error().message());
    }
  }
  return "native histogram refused";
}

// Whether the labels were sent in canonical form and are within the limits: then there is nothing to decode. Nearly all
// series of 1.0 are so. One look at all bytes tells that each name and value is UTF-8: if all of them are, then so is
// each part between two ASCII bytes, and a name or value stands between the last byte of its length and a tag, which
// are ASCII. Lengths of several bytes are hardly ever UTF-8, so series with long names or values go to Collect().
bool IsUsual(std::string_view labels, const SeriesLimits& limits) {
  if (labels.empty() || labels.size() > limits.max_series_bytes || !IsValidUtf8(labels)) return false;
  const auto shape = model::ExamineCanonical(labels);
  return shape && shape->labels <= limits.max_labels && shape->longest_name <= limits.max_name_bytes &&
         shape->longest_value <= limits.max_value_bytes && (shape->has_metric_name || !limits.require_metric_name);
}

}  // namespace

Canonicaliser::Outcome Canonicaliser::operator()(const RequestScan& scan, const ScannedSeries& series,
                                                 const SeriesLimits& limits) {
  Outcome outcome;
  if (scan.schema() == Schema::kV1 && series.refusal == Refusal::kNone && IsUsual(series.labels, limits)) {
    outcome.canonical = series.labels;
    outcome.examined_bytes = series.labels.size();
    return outcome;
  }
  outcome.refusal = Collect(scan, series, limits);
  outcome.examined_bytes = examined_bytes_;
  if (outcome.refusal != Refusal::kNone) return outcome;
  if (sent_canonically_) {
    outcome.canonical = series.labels;
    return outcome;
  }
  bytes_.clear();
  for (const model::Label& label : labels_) {
    if (!label.value.empty()) model::AppendCanonical(label, bytes_);
  }
  outcome.canonical = bytes_;
  return outcome;
}

// Leaves the labels of the series, sorted, in labels_, as views into the request. The labels are read (1.0: Label
// messages; 2.0: pairs of references), each is checked against the limits, and they are sorted, unless they were sent
// in canonical form. About 370 ns per series.
Refusal Canonicaliser::Collect(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits) {
  labels_.clear();
  valued_ = 0;
  canonical_size_ = 0;
  examined_bytes_ = 0;
  refused_name_ = {};
  if (series.refusal != Refusal::kNone) return Refuse(series.refusal, {});
  Refusal refusal = scan.schema() == Schema::kV1 ? CollectV1(series, limits) : CollectV2(scan, series, limits);
  if (refusal == Refusal::kNone) refusal = Sort();
  if (refusal != Refusal::kNone) return refusal;
  if (canonical_size_ > limits.max_series_bytes) return Refuse(Refusal::kSeriesTooLarge, {}, canonical_size_);
  const auto named = std::ranges::find(labels_, model::kMetricName, &model::Label::name);
  const bool has_name = named != labels_.end() && !named->value.empty();
  // A series without any label is refused whatever the option says.
  if (!has_name && (limits.require_metric_name || canonical_size_ == 0)) return Refuse(Refusal::kNoMetricName, {});
  return Refusal::kNone;
}

Refusal Canonicaliser::CollectV1(const ScannedSeries& series, const SeriesLimits& limits) {
  bool canonical = !series.labels.empty();
  wire::FieldReader reader(canonical ? series.labels : series.message);
  while (reader.Next()) {
    if (reader.field().number != 1) continue;
    model::Label label;
    if (!ReadLabel(reader.field().bytes, label)) return Refuse(Refusal::kMalformedLabels, {});
    if (const Refusal refusal = Take(label, limits); refusal != Refusal::kNone) return refusal;
  }
  // The labels were sent in canonical form if they have exactly the size of that form (padded varints, unknown fields
  // and repeated fields need more), ascend by name, and have the name before the value.
  canonical = canonical && canonical_size_ == series.labels.size();
  for (size_t i = 0; i < labels_.size() && canonical; ++i) {
    canonical = !labels_[i].value.empty() && labels_[i].name.data() < labels_[i].value.data() &&
                (i == 0 || labels_[i - 1].name < labels_[i].name);
  }
  sent_canonically_ = canonical;
  return Refusal::kNone;
}

Refusal Canonicaliser::CollectV2(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits) {
  sent_canonically_ = false;
  const auto& symbols = scan.symbols_;
  Refusal refusal = Refusal::kNone;
  size_t references = 0;
  model::Label label;
  auto take = [&](uint64_t wide) {
    const auto reference = static_cast<uint32_t>(wide);
    ++references;
    if (refusal != Refusal::kNone) return;
    if (reference >= symbols.size()) {
      refusal = Refuse(Refusal::kBadReference, {}, reference);
    } else if (references % 2 != 0) {
      label.name = symbols.text(reference);
    } else {
      label.value = symbols.text(reference);
      refusal = Take(label, limits);
    }
  };
  wire::FieldReader reader(series.message);
  while (reader.Next()) {
    if (reader.field().number == 1) wire::ReadRepeatedVarint(reader.field(), take);
  }
  if (references % 2 != 0) return Refuse(Refusal::kBadReference, {});
  return refusal;
}

// Limits are checked before anything whose cost grows with the label.
Refusal Canonicaliser::Take(model::Label label, const SeriesLimits& limits) {
  if (label.name.empty()) return Refuse(Refusal::kEmptyName, {});
  // A label without a value does not exist, so it does not count; but their number is limited as well, because of
  // memory.
  const size_t of_its_kind = label.value.empty() ? labels_.size() - valued_ : valued_;
  if (of_its_kind == limits.max_labels) return Refuse(Refusal::kTooManyLabels, label.name, label.value.size());
  if (label.name.size() > limits.max_name_bytes) return Refuse(Refusal::kNameTooLong, label.name, label.name.size());
  if (label.value.size() > limits.max_value_bytes) {
    return Refuse(Refusal::kValueTooLong, label.name, label.value.size());
  }
  const size_t size = model::CanonicalSize(label);
  examined_bytes_ += size;
  if (!IsValidUtf8(label.name) || !IsValidUtf8(label.value)) return Refuse(Refusal::kInvalidUtf8, label.name);
  if (!label.value.empty()) {
    ++valued_;
    canonical_size_ += size;
  }
  labels_.push_back(label);
  return Refusal::kNone;
}

Refusal Canonicaliser::Sort() {
  if (!sent_canonically_) std::ranges::sort(labels_, {}, &model::Label::name);
  const auto twice = std::ranges::adjacent_find(labels_, {}, &model::Label::name);
  return twice == labels_.end() ? Refusal::kNone : Refuse(Refusal::kDuplicateName, twice->name);
}

Refusal Canonicaliser::Refuse(Refusal refusal, std::string_view name, size_t size) {
  refused_name_ = name;
  refused_size_ = size;
  return refusal;
}

std::string Canonicaliser::Explain(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits) {
  const Refusal refusal = Collect(scan, series, limits);
  assert(refusal != Refusal::kNone);
  return Describe(scan, series) + ": " + Reason(scan, series, refusal, limits);
}

std::string Canonicaliser::Reason(const RequestScan& scan, const ScannedSeries& series, Refusal refusal,
                                  const SeriesLimits& limits) const {
  switch (refusal) {
    case Refusal::kNone: return "not refused";
    case Refusal::kMalformedLabels: return "a label cannot be read";
    case Refusal::kEmptyName: return "a label has no name";
    case Refusal::kDuplicateName: return format("label {} occurs twice", Quoted(refused_name_));
    case Refusal::kInvalidUtf8: return format("label {} is not UTF-8", Quoted(refused_name_));
    case Refusal::kNoMetricName: return "no label __name__ (receive.require_metric_name)";
    case Refusal::kTooManyLabels:
      return format("more than {} labels{} (receive.max_labels)", limits.max_labels,
                    refused_size_ == 0 ? " without a value" : "");
    case Refusal::kNameTooLong:
      return format("label name {} has {} bytes, limit {} (receive.max_name_bytes)", Quoted(refused_name_),
                    refused_size_, limits.max_name_bytes);
    case Refusal::kValueTooLong:
      return format("label {} has a value of {} bytes, limit {} (receive.max_value_bytes)", Quoted(refused_name_),
                    refused_size_, limits.max_value_bytes);
    case Refusal::kSeriesTooLarge:
      return format("its labels take {} bytes, limit {} (receive.max_series_bytes)", refused_size_,
                    limits.max_series_bytes);
    case Refusal::kBadReference:
      return format("it has an odd number of label references, or one beyond the {} symbols of the request",
                    scan.symbols_.size());
    case Refusal::kRequestTooLarge:
    case Refusal::kMalformedPoint: return {};  // found elsewhere
    case Refusal::kBadHistogram: return DescribeBadHistogram(scan, series);
  }
  return "refused";
}

}  // namespace mi::codec
