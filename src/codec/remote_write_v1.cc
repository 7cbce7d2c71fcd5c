// WriteRequest{1 timeseries, 3 metadata}, TimeSeries{1 labels, 2 samples, 3 exemplars, 4 histograms}.
//
// One pass, front to back; nothing is copied but the labels that must be sorted. Usual senders write the labels of a
// series as one run of fields, which has the form of the canonical bytes:
//
//   TimeSeries:  0a len label  0a len label  ...  12 len sample  ...
//                |---- hashed in place ----|
//
// If the labels are sorted, this hash is the fingerprint. If not, it is the hash of an alias, or the labels are sorted
// first (MakeKey). A series with labels in several runs gets no key and takes the slow path. Cost: linear in the bytes;
// sorting is bounded by LabelSorter::kMaxLabels and kMaxRebuiltBytes per series.
#include <algorithm>

#include "base/format.h"
#include "codec/walk.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Tag;
using wire::Type;

constexpr unsigned char kLabels = Tag(1, Type::kBytes);
constexpr unsigned char kSamples = Tag(2, Type::kBytes);

constexpr size_t kProbeEvery = 64;

// Reads a minimal length of one or two bytes; null for all others.
const char* ReadUsualLength(const char* at, const char* end, size_t& size) {
  if (at == end) return nullptr;
  const auto low = static_cast<unsigned char>(at[0]);
  size = low;
  if (low < 0x80) return at + 1;
  if (end - at < 2) return nullptr;
  const auto high = static_cast<unsigned char>(at[1]);
  size = (low & 0x7fU) | static_cast<size_t>(high) << 7;
  return high == 0 || high >= 0x80 ? nullptr : at + 2;
}

// Reads a label field that is exactly in canonical form. Returns the position after it, or null.
const char* ReadUsualLabel(const char* at, const char* end, model::Label& label) {
  size_t size = 0;
  at = ReadUsualLength(at + 1, end, size);
  if (at == nullptr || size > static_cast<size_t>(end - at)) return nullptr;
  end = at + size;
  for (std::string_view* text : {&label.name, &label.value}) {
    if (at == end || *at != (text == &label.name ? 0x0a : 0x12)) return nullptr;
    at = ReadUsualLength(at + 1, end, size);
    if (at == nullptr || size > static_cast<size_t>(end - at)) return nullptr;
    *text = {at, size};
    at += size;
  }
  return at == end && !label.name.empty() && !label.value.empty() ? at : nullptr;
}

// Returns the position after the run of label fields that begins at `at`. Reads only their lengths: the slow path
// checks the contents. That is enough, because labels that were never accepted are never found in the seen table by
// their hash.
const char* SkipLabels(const char* at, const char* end) {
  while (at != end && static_cast<unsigned char>(*at) == kLabels) {
    if (end - at < 2) return nullptr;
    uint64_t size = static_cast<unsigned char>(at[1]);
    at += 2;
    if (size >= 0x80) {
      at = wire::ReadLongVarint(at - 1, end, size);
      if (at == nullptr) return nullptr;
    }
    if (size > static_cast<uint64_t>(end - at)) return nullptr;
    at += size;
  }
  return at;
}

}  // namespace

Status V1Walk::Run() {
  const char* at = decoded_.data();
  const char* const end = at + decoded_.size();
  while (at != end) {
    const char* const begin = at;
    if (static_cast<unsigned char>(*at) == Tag(1, Type::kBytes)) {
      std::string_view message;
      at = wire::ReadBytes(at + 1, end, message);
      if (at == nullptr || !WalkSeries(message)) return Broken(begin);
    } else {
      Field field;
      at = wire::ReadField(at, end, field);
      if (at == nullptr || !TakeTopLevel(field)) return Broken(begin);
    }
    if (scan_.series_.size() > max_series_) return TooMany("series", max_series_);
    if (scan_.metadata_.size() > max_series_) return TooMany("metadata", max_series_);
  }
  // A 204 would lose everything silently.
  if (looks_like_v2_ && scan_.series_.empty() && scan_.metadata_.empty()) {
    return Fail(Errc::kInvalid, "the body is a remote write 2.0 request, the Content-Type says 1.0");
  }
  return {};
}

bool V1Walk::TakeTopLevel(const Field& field) {
  if (field.number == 1) return field.type == Type::kBytes && WalkSeries(field.bytes);
  if (field.number == 3) return field.type == Type::kBytes && WalkMetadata(field.bytes);
  looks_like_v2_ |= field.Is(4, Type::kBytes) || field.Is(5, Type::kBytes);
  return true;
}

bool V1Walk::WalkSeries(std::string_view message) {
  ScannedSeries& series = scan_.series_.emplace_back();
  series.message = message;
  bool in_one_piece = true;
  Begin();
  const char* at = message.data();
  const char* const end = at + message.size();
  while (at != end) {
    const char* const begin = at;
    const auto tag = static_cast<unsigned char>(*at);
    if (tag == kLabels) {
      at = SkipLabels(at, end);
      if (at == nullptr) return false;
      in_one_piece &= series.labels.empty();
      series.labels = {begin, static_cast<size_t>(at - begin)};
    } else if (tag == kSamples) {
      std::string_view sample;
      at = wire::ReadBytes(at + 1, end, sample);
      if (at == nullptr || !TakeSample(sample, series)) return false;
    } else {
      Field field;
      at = wire::ReadField(at, end, field);
      if (at == nullptr) return false;
      if (field.number > 4) continue;
      if (field.type != Type::kBytes) return false;
      if (field.number == 1) in_one_piece = false;  // a label with a padded tag
      if (!TakeItem(field.number, field.bytes, series)) return false;
    }
  }
  series.stale_only = IsStaleOnly(series);
  if (!in_one_piece) {
    series.labels = {};
  } else if (!series.labels.empty() && series.has_items()) {
    MakeKey(series);
  }
  return true;
}

// Most senders sort their labels, so hashing the bytes in place gives the fingerprint. To check that they are sorted
// costs as much as the hash. vmagent appends its own labels after the others, on every series that it sends: an alias
// for each would take a second entry in the seen table. So one series in kProbeEvery is checked; if it is not sorted,
// the labels of the following series are sorted before they are hashed.
void V1Walk::MakeKey(ScannedSeries& series) {
  const bool probe = (scan_.series_.size() - 1) % kProbeEvery == 0;
  if (probe || sorting_) {
    const std::string_view canonical = Canonical(series.labels);
    if (probe) sorting_ = canonical.data() != series.labels.data();
    if (!canonical.empty()) {
      series.key = fingerprinter_(canonical);
      series.key_kind = KeyKind::kFingerprint;
      return;
    }
  }
  series.key = fingerprinter_(series.labels);
  series.key_kind = KeyKind::kRaw;
}

// The canonical bytes of labels that are encoded as every sender encodes them, in any order; otherwise nothing. Also
// nothing if a value is empty: such a label does not exist in the canonical bytes, but the slow path must check its
// name. If the series were known by its other labels, the name would never be checked.
std::string_view V1Walk::Canonical(std::string_view labels) {
  if (labels.size() > kMaxRebuiltBytes) return {};
  sorter_.Clear();
  const char* const end = labels.data() + labels.size();
  for (const char* at = labels.data(); at != end;) {
    model::Label label;
    const char* const next = ReadUsualLabel(at, end, label);
    if (next == nullptr) return {};
    const std::string_view field(at, static_cast<size_t>(next - at));
    if (!sorter_.Add(OrderOf(label.name, end), label.name, field)) return {};
    at = next;
  }
  if (sorter_.has_repeated_name()) return {};
  if (sorter_.was_sorted()) return labels;
  char* const begin = scan_.rebuilt_.get();
  char* out = begin;
  for (size_t i = 0; i < sorter_.size(); ++i) out = std::ranges::copy(sorter_[i], out).out;
  return {begin, static_cast<size_t>(out - begin)};
}

bool V1Walk::TakeItem(uint32_t number, std::string_view message, ScannedSeries& series) {
  switch (number) {
    case 2: return TakeSample(message, series);
    case 4: return TakeHistogram(message, series);
    case 3: {
      wire::FieldReader exemplar(message);
      while (exemplar.Next()) {
      }
      ++series.exemplars;
      return exemplar.ok();
    }
    default: return true;
  }
}

bool V1Walk::WalkMetadata(std::string_view message) {
  wire::FieldReader reader(message);
  while (reader.Next()) {
    const Field& field = reader.field();
    if (field.number == 1 && field.type != Type::kVarint) return false;
    const bool is_text = field.number == 2 || field.number == 4 || field.number == 5;
    if (is_text && field.type != Type::kBytes) return false;
  }
  scan_.metadata_.push_back({.hash = fingerprinter_(message).lo, .message = message, .series = 0});
  return reader.ok();
}

}  // namespace mi::codec
