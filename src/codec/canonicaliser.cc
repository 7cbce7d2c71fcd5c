// The slow path of the receiver: for series that the seen table does not know, and for those that are refused.
#include <algorithm>

#include "base/format.h"
#include "codec/remote_write.h"
#include "codec/wire.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Type;

constexpr size_t kMaxQuotedBytes = 80;

// UTF-8 is mostly ASCII: 8 bytes at a time until there is something to look at.
bool IsUtf8(std::string_view text) {
  while (text.size() >= 8 && (wire::Load<uint64_t>(text.data()) & 0x8080808080808080) == 0) text.remove_prefix(8);
  return model::IsValidUtf8(text);
}

// A Label message; fields in any order, the last of each counts, unknown ones are skipped.
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

// Bytes from outside in a message: one line, printable, short.
std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kMaxQuotedBytes)) {
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      out.push_back(c);
    } else {
      out += format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  out += text.size() > kMaxQuotedBytes ? "…\"" : "\"";
  return out;
}

}  // namespace

Canonicaliser::Outcome Canonicaliser::operator()(const RequestScan& scan, const ScannedSeries& series,
                                                 const SeriesLimits& limits) {
  Outcome outcome;
  outcome.refusal = Collect(scan, series, limits);
  outcome.examined_bytes = examined_bytes_;
  if (outcome.refusal != Refusal::kNone) return outcome;
  outcome.key_is_fingerprint = series.key_kind == KeyKind::kFingerprint;
  if (sent_canonically_) {
    outcome.canonical = series.labels;
    outcome.key_is_fingerprint |= series.key_kind == KeyKind::kRaw;
    return outcome;
  }
  bytes_.clear();
  for (const model::Label& label : labels_) {
    if (!label.value.empty()) model::AppendCanonical(label, bytes_);
  }
  outcome.canonical = bytes_;
  return outcome;
}

Refusal Canonicaliser::Collect(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits) {
  labels_.clear();
  valued_ = 0;
  canonical_size_ = 0;
  examined_bytes_ = 0;
  blamed_name_ = {};
  if (series.refusal != Refusal::kNone) return Refuse(series.refusal, {});
  const Refusal collected = scan.schema() == Schema::kV1 ? CollectV1(series, limits) : CollectV2(scan, series, limits);
  if (collected != Refusal::kNone) return collected;
  if (const Refusal sorted = Sort(); sorted != Refusal::kNone) return sorted;
  if (canonical_size_ > limits.max_series_bytes) return Refuse(Refusal::kSeriesTooLarge, {}, canonical_size_);
  const auto named = std::ranges::find(labels_, model::kMetricName, &model::Label::name);
  const bool has_name = named != labels_.end() && !named->value.empty();
  // A series without any label says nothing, whatever the knob.
  if (!has_name && (limits.require_metric_name || canonical_size_ == 0)) return Refuse(Refusal::kNoMetricName, {});
  return Refusal::kNone;
}

Refusal Canonicaliser::CollectV1(const ScannedSeries& series, const SeriesLimits& limits) {
  bool as_canonical_writes = !series.labels.empty();
  wire::FieldReader reader(as_canonical_writes ? series.labels : series.message);
  while (reader.Next()) {
    if (reader.field().number != 1) continue;
    model::Label label;
    if (!ReadLabel(reader.field().bytes, label)) return Refuse(Refusal::kMalformedLabels, {});
    if (const Refusal refusal = Take(label, limits); refusal != Refusal::kNone) return refusal;
  }
  // Exactly as many bytes as the canonical form takes, and name before value in each label: padded varints, unknown
  // fields and repeated ones all take more.
  as_canonical_writes = as_canonical_writes && canonical_size_ == series.labels.size();
  for (size_t i = 0; i < labels_.size() && as_canonical_writes; ++i) {
    as_canonical_writes = !labels_[i].value.empty() && labels_[i].name.data() < labels_[i].value.data() &&
                          (i == 0 || labels_[i - 1].name < labels_[i].name);
  }
  sent_canonically_ = as_canonical_writes;
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

// Limits come before anything that costs more the longer a label is.
Refusal Canonicaliser::Take(model::Label label, const SeriesLimits& limits) {
  if (label.name.empty()) return Refuse(Refusal::kEmptyName, {});
  // A label without a value is absent, and does not count; but a request must not make us remember millions of them.
  const size_t of_its_kind = label.value.empty() ? labels_.size() - valued_ : valued_;
  if (of_its_kind == limits.max_labels) return Refuse(Refusal::kTooManyLabels, label.name, label.value.size());
  if (label.name.size() > limits.max_name_bytes) return Refuse(Refusal::kNameTooLong, label.name, label.name.size());
  if (label.value.size() > limits.max_value_bytes)
    return Refuse(Refusal::kValueTooLong, label.name, label.value.size());
  const size_t size = model::CanonicalSize(label);
  examined_bytes_ += size;
  if (!IsUtf8(label.name) || !IsUtf8(label.value)) return Refuse(Refusal::kInvalidUtf8, label.name);
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

Refusal Canonicaliser::Refuse(Refusal refusal, std::string_view name, size_t value) {
  blamed_name_ = name;
  blamed_size_ = value;
  return refusal;
}

std::string Canonicaliser::Explain(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits) {
  const Refusal refusal = Collect(scan, series, limits);
  return WhichSeries(scan, series) + ": " + Reason(scan, series, refusal, limits);
}

std::string Canonicaliser::WhichSeries(const RequestScan& scan, const ScannedSeries& series) const {
  const auto number = static_cast<size_t>(&series - scan.series().data()) + 1;
  std::string_view name;
  if (scan.schema() == Schema::kV2 && !scan.symbols_.empty()) name = scan.symbols_.text(scan.FamilyOf(series));
  wire::FieldReader reader(series.message);
  while (scan.schema() == Schema::kV1 && reader.Next()) {
    model::Label label;
    if (!reader.field().Is(1, Type::kBytes) || !ReadLabel(reader.field().bytes, label)) continue;
    if (label.name == model::kMetricName) name = label.value;
  }
  if (name.empty()) return format("series {} of {}", number, scan.series().size());
  return format("series {} of {}, {}", number, scan.series().size(), Quote(name));
}

std::string Canonicaliser::Reason(const RequestScan& scan, const ScannedSeries& series, Refusal refusal,
                                  const SeriesLimits& limits) const {
  switch (refusal) {
    case Refusal::kNone: return "not refused";
    case Refusal::kMalformedLabels: return "a label cannot be read";
    case Refusal::kEmptyName: return "a label has no name";
    case Refusal::kDuplicateName: return format("label {} stands twice", Quote(blamed_name_));
    case Refusal::kInvalidUtf8: return format("label {} is not UTF-8", Quote(blamed_name_));
    case Refusal::kNoMetricName: return "no label __name__ (receive.require_metric_name)";
    case Refusal::kTooManyLabels:
      return format("more than {} labels{} (receive.max_labels)", limits.max_labels,
                    blamed_size_ == 0 ? " without a value" : "");
    case Refusal::kNameTooLong:
      return format("label name {} has {} bytes, limit {} (receive.max_name_bytes)", Quote(blamed_name_), blamed_size_,
                    limits.max_name_bytes);
    case Refusal::kValueTooLong:
      return format("label {} has a value of {} bytes, limit {} (receive.max_value_bytes)", Quote(blamed_name_),
                    blamed_size_, limits.max_value_bytes);
    case Refusal::kSeriesTooLarge:
      return format("its labels take {} bytes, limit {} (receive.max_series_bytes)", blamed_size_,
                    limits.max_series_bytes);
    case Refusal::kBadReference:
      return format("its label references are odd in number, or beyond the {} symbols of the request",
                    scan.symbols_.size());
    case Refusal::kRequestTooLarge:
    case Refusal::kMalformedPoint: return {};  // not found here
    case Refusal::kBadHistogram: return HistogramReason(scan, series);
  }
  return "refused";
}

std::string Canonicaliser::HistogramReason(const RequestScan& scan, const ScannedSeries& series) const {
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

}  // namespace mi::codec
