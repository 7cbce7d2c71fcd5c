// WriteRequest{1 timeseries, 3 metadata}, TimeSeries{1 labels, 2 samples, 3 exemplars, 4 histograms}.
//
// One pass, front to back; nothing is copied. Usual senders write the labels of a series as one run of fields, which
// has the form of the canonical bytes:
//
//   TimeSeries:  0a len label  0a len label  ...  12 len sample  ...
//                |---- hashed in place ----|
//
// The hash is the key of the series, however its labels are encoded or sorted. A series with labels in several runs
// gets no key and takes the slow path. Cost: linear in the bytes. With Depth::kKeysFirst the labels of usual series are
// found from the end of the message, without reading them: label after label is a chain of loads, each of which waits
// for the one before.
#include "base/format.h"
#include "codec/walk.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Tag;
using wire::Type;

constexpr unsigned char kLabels = Tag(1, Type::kBytes);
constexpr unsigned char kSamples = Tag(2, Type::kBytes);

// Returns the position after the run of label fields that begins at `at`; null if one is broken. Reads only their
// lengths: the slow path checks the contents. That is enough, because labels that were never accepted are never found
// in the seen table by their hash. Tag and length are read as one word, so a usual label takes one comparison; whether
// the last one ends within the message is checked once.
const char* SkipLabels(const char* at, const char* end) {
  constexpr uint16_t kLongLength = 0x8000;
  while (true) {
    while (end - at >= 2) {
      const auto head = wire::Load<uint16_t>(at);
      if ((head & (kLongLength | 0xff)) != kLabels) break;
      at += 2 + (head >> 8);
    }
    if (at > end) return nullptr;
    if (at == end || static_cast<unsigned char>(*at) != kLabels) return at;
    uint64_t size = 0;
    at = wire::ReadShortVarint(at + 1, end, size);
    if (at == nullptr || size > static_cast<uint64_t>(end - at)) return nullptr;
    at += size;
  }
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

// Nearly every series is one run of labels, then one sample. Its end alone does not tell it from other series, such as
// one with a histogram before the sample. It mostly does tell series with several samples: those are examined at once,
// so that their labels alone are hashed.
bool V1Walk::WalkSeries(std::string_view message) {
  ScannedSeries& series = scan_.series_.emplace_back();
  model::Fingerprint& key = scan_.keys_.emplace_back();
  series.message = message;
  if (depth_ == Depth::kWhole || message.size() <= kUsualSampleBytes) return ExamineSeries(series, key);
  const char* const sample = message.data() + message.size() - kUsualSampleBytes;
  if (!IsUsualSample(sample)) return ExamineSeries(series, key);
  if (message.size() > 2 * kUsualSampleBytes && IsUsualSample(sample - kUsualSampleBytes)) [[unlikely]] {
    return ExamineSeries(series, key);
  }
  TakeUsual(series, key, sample);
  series.examined = false;
  return true;
}

// If the labels of a series end where its usual sample begins, its key is right already.
Status V1Walk::Examine(std::span<const uint32_t> indices) {
  for (const uint32_t i : indices) {
    ScannedSeries& series = scan_.series_[i];
    if (series.examined) continue;
    series.examined = true;
    const std::string_view labels = series.labels;
    if (SkipLabels(labels.data(), labels.data() + labels.size()) == labels.data() + labels.size()) continue;
    series = {.message = series.message};
    scan_.keys_[i] = {};
    if (!ExamineSeries(series, scan_.keys_[i])) return Broken(series.message.data());
  }
  return {};
}

bool V1Walk::ExamineSeries(ScannedSeries& series, model::Fingerprint& key) {
  const char* const at = series.message.data();
  const char* const end = at + series.message.size();
  const char* const behind = SkipLabels(at, end);
  if (behind == nullptr) return false;
  if (end - behind != ptrdiff_t{kUsualSampleBytes} || behind == at || !IsUsualSample(behind)) {
    return WalkOddSeries(series, key);
  }
  TakeUsual(series, key, behind);
  return true;
}

void V1Walk::TakeUsual(ScannedSeries& series, model::Fingerprint& key, const char* sample) {
  const char* const at = series.message.data();
  series.labels = {at, static_cast<size_t>(sample - at)};
  series.samples = 1;
  series.stale_only = IsUsualSampleStale(sample);
  key = hasher_(series.labels);
}

bool V1Walk::WalkOddSeries(ScannedSeries& series, model::Fingerprint& key) {
  bool in_one_piece = true;
  Begin();
  const char* at = series.message.data();
  const char* const end = at + series.message.size();
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
    key = hasher_(series.labels);
  }
  return true;
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
  scan_.metadata_.push_back({.hash = hasher_(message).lo, .message = message, .series = 0});
  return reader.ok();
}

}  // namespace mi::codec
