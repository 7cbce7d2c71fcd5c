// Request{4 symbols, 5 timeseries}, TimeSeries{1 labels_refs, 2 samples, 3 histograms, 4 exemplars, 5 metadata}.
//
// The labels are references into the request's table of strings. Each string is hashed once. The key of a series is a
// hash over the hashes of its strings, in the order of its references. So nothing of a known series is put together.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "codec/walk.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Tag;
using wire::Type;
using LocalHash = model::LocalHashKey::Block;

// Reads one reference; null if there is none. For series that take the general path, and for metric names. It branches
// on the length on purpose: all series of a sender have the same shape, so a predicted branch lets the next label begin
// early, whereas a computed length would make it wait.
inline const char* ReadReference(const char* at, const char* end, uint32_t& reference) {
  if (end - at >= 2) {
    const auto low = static_cast<unsigned char>(at[0]);
    const auto high = static_cast<unsigned char>(at[1]);
    if (low < 0x80) return reference = low, at + 1;
    if (high < 0x80) return reference = (low & 0x7fU) | static_cast<uint32_t>(high) << 7, at + 2;
  }
  uint64_t wide = 0;
  at = wire::ReadVarint(at, end, wide);
  reference = static_cast<uint32_t>(wide);
  return at;
}

// Calls `take` with every reference of a series, packed or not. False: they cannot be read.
template <typename Take>
bool ForEachReference(std::string_view series, Take&& take) {
  wire::FieldReader reader(series);
  while (reader.Next()) {
    if (reader.field().number != 1) continue;
    const auto narrow = [&](uint64_t wide) { take(static_cast<uint32_t>(wide)); };
    if (!wire::ReadRepeatedVarint(reader.field(), narrow)) return false;
  }
  return reader.ok();
}

}  // namespace

uint32_t RequestScan::NameOf(const ScannedSeries& series) const {
  uint32_t metric_name = 0;
  bool is_name = true;
  bool is_metric_name = false;
  ForEachReference(series.message, [&](uint32_t reference) {  // the walk has read them
    const std::string_view text = reference < symbols_.size() ? symbols_.text(reference) : std::string_view();
    if (is_name) is_metric_name = text == model::kMetricName;
    if (!is_name && is_metric_name && metric_name == 0 && !text.empty()) metric_name = reference;
    is_name = !is_name;
  });
  return metric_name;
}

// Two passes: the first collects all symbols and lists the series; the second reads the series. A few bytes of
// references may stand for kilobytes of symbols. That costs nothing here, but it does where series are unknown. So
// label_bytes_ counts the bytes, and the request is refused above MaxLabelBytes. Metadata is only listed here; it is
// decoded later, if it is not known.
Status V2Walk::Run() {
  if (Status collected = CollectTopLevel(); !collected) return collected;
  const SymbolTable& symbols = scan_.symbols_;
  if (symbols.empty() && !scan_.series_.empty()) return Fail(Errc::kInvalid, "the request has series but no symbols");
  if (!symbols.empty() && !symbols.text(0).empty()) {
    return Fail(Errc::kInvalid, "the first symbol of the request is not the empty string");
  }
  if (looks_like_v1_ && symbols.empty()) {
    return Fail(Errc::kInvalid, "the body is a remote write 1.0 request, the Content-Type says 2.0");
  }
  scan_.symbols_.Hash(hasher_);
  scan_.keys_.resize(scan_.series_.size());
  const uint64_t limit = max_label_bytes_;
  model::Fingerprint* key = scan_.keys_.data();
  for (ScannedSeries& series : scan_.series_) {
    if (!TakeUsual(series, *key++) && !WalkSeries(series)) return Broken(series.message.data());
    if (label_bytes_ > limit) {
      return Fail(
          Errc::kTooLarge,
          format(
              "the labels of the request are {} or more if written out, limit {} for {} decoded: send smaller requests",
              FormatBytesAbove(label_bytes_, limit), FormatBytes(limit), FormatBytes(decoded_.size())));
    }
  }
  return {};
}

// Symbols may come after the series that use them, so the series are only listed here.
Status V2Walk::CollectTopLevel() {
  const char* at = decoded_.data();
  const char* const end = at + decoded_.size();
  const size_t max_symbols = MaxSymbols(decoded_.size());
  while (at != end) {
    const char* const begin = at;
    Field field;
    const auto tag = static_cast<unsigned char>(*at);
    if (tag == Tag(4, Type::kBytes) || tag == Tag(5, Type::kBytes)) {  // nearly all of them
      field.number = tag >> 3;
      field.type = Type::kBytes;
      at = wire::ReadBytes(at + 1, end, field.bytes);
    } else {
      at = wire::ReadField(at, end, field);
    }
    if (at == nullptr) return Broken(begin);
    if ((field.number == 4 || field.number == 5) && field.type != Type::kBytes) return Broken(begin);
    if (field.number == 4) scan_.symbols_.Add(field.bytes);
    if (field.number == 5) scan_.series_.emplace_back().message = field.bytes;
    looks_like_v1_ |= field.Is(1, Type::kBytes) || field.Is(3, Type::kBytes);  // reserved in 2.0
    if (scan_.series_.size() > max_series_) return TooMany("series", max_series_);
    if (scan_.symbols_.size() > max_symbols) return TooMany("symbols", max_symbols);
  }
  return {};
}

// The hottest code for 2.0: a series as nearly every sender writes it, or false and nothing done.
//
//   0a len references | 12 10 sample | 2a len metadata, or nothing
bool V2Walk::TakeUsual(ScannedSeries& series, model::Fingerprint& key) {
  static_assert(kUsualSampleBytes >= model::LocalHasher::kPackedSlack);
  const char* at = series.message.data();
  const char* const end = at + series.message.size();
  if (at == end || static_cast<unsigned char>(*at) != Tag(1, Type::kBytes)) return false;
  std::string_view references;
  const char* const sample = wire::ReadBytes(at + 1, end, references);
  if (sample == nullptr || end - sample < ptrdiff_t{kUsualSampleBytes} || !IsUsualSample(sample)) return false;
  at = sample + kUsualSampleBytes;
  std::string_view metadata;
  if (at != end) {
    if (static_cast<unsigned char>(*at) != Tag(5, Type::kBytes)) return false;
    at = wire::ReadBytes(at + 1, end, metadata);
    if (at != end || (!metadata.empty() && !ReadMetadata(metadata))) return false;
  }
  uint64_t bytes = 0;
  key = hasher_.OfPacked(scan_.symbols_.parts(), references, bytes);
  if (key == model::Fingerprint()) return false;
  CountLabelBytes(bytes);
  series.labels = references;
  series.samples = 1;
  series.stale_only = IsUsualSampleStale(sample);
  references_good_ = true;
  if (!metadata.empty()) TakeMetadata(metadata_, series);
  return true;
}

bool V2Walk::WalkSeries(ScannedSeries& series) {
  bool in_one_piece = true;
  Begin();
  metadata_ = {};
  references_good_ = true;
  const char* at = series.message.data();
  const char* const end = at + series.message.size();
  while (at != end) {
    Field field;
    const auto tag = static_cast<unsigned char>(*at);
    if (tag == Tag(2, Type::kBytes)) {
      std::string_view sample;
      at = wire::ReadBytes(at + 1, end, sample);
      if (at == nullptr || !TakeSample(sample, series)) return false;
      continue;
    }
    if (tag == Tag(1, Type::kBytes) || tag == Tag(5, Type::kBytes)) {
      field.number = tag >> 3;
      field.type = Type::kBytes;
      at = wire::ReadBytes(at + 1, end, field.bytes);
    } else {
      at = wire::ReadField(at, end, field);
    }
    if (at == nullptr) return false;
    if (field.Is(1, Type::kBytes) && series.labels.empty()) {
      series.labels = field.bytes;
    } else if (field.number == 1) {  // in several pieces, or not packed
      in_one_piece = false;
    } else if (field.number <= 5) {
      if (field.type != Type::kBytes || !TakeItem(field.number, field.bytes, series)) return false;
    }
  }
  series.stale_only = IsStaleOnly(series);
  if (!in_one_piece) {
    series.labels = {};
    TakeReferences(series);
  } else if (!series.labels.empty()) {
    const model::Fingerprint key = MakeKey(series);
    if (series.has_items()) scan_.keys_[static_cast<size_t>(&series - scan_.series_.data())] = key;
  }
  if (broken_) return false;
  if (!metadata_.message.empty()) TakeMetadata(metadata_, series);
  return true;
}

bool V2Walk::TakeItem(uint32_t number, std::string_view message, ScannedSeries& series) {
  switch (number) {
    case 2: return TakeSample(message, series);
    case 3: return TakeHistogram(message, series);
    case 4: return TakeExemplar(message, series);
    case 5: return ReadMetadata(message);
    default: return true;
  }
}

bool V2Walk::TakeExemplar(std::string_view message, ScannedSeries& series) {
  size_t references = 0;
  bool in_range = true;
  wire::FieldReader reader(message);
  while (reader.Next()) {
    if (reader.field().number != 1) continue;
    const bool read = wire::ReadRepeatedVarint(reader.field(), [&](uint64_t reference) {
      in_range &= static_cast<uint32_t>(reference) < scan_.symbols_.size();
      ++references;
    });
    if (!read) return false;
  }
  if (!reader.ok()) return false;
  if (in_range && references % 2 == 0) {
    ++series.exemplars;
  } else {
    RefuseItem([&] {
      return in_range ? format("an exemplar has an odd number of label references ({})", references)
                      : format("an exemplar refers to a symbol beyond the {} of the request", scan_.symbols_.size());
    });
  }
  return true;
}

bool V2Walk::ReadMetadata(std::string_view message) {
  if (metadata_read_.message == message) {  // usually the same bytes as in the previous series
    metadata_ = metadata_read_;
    metadata_.message = message;
    return true;
  }
  Metadata out{.message = message};
  wire::FieldReader reader(message);
  while (reader.Next()) {
    const Field& field = reader.field();
    if (field.number != 1 && field.number != 3 && field.number != 4) continue;
    if (field.type != Type::kVarint) return false;
    const auto value = static_cast<uint32_t>(field.scalar);
    (field.number == 1 ? out.type : field.number == 3 ? out.help : out.unit) = value;
  }
  metadata_ = out;
  if (reader.ok()) metadata_read_ = out;
  return reader.ok();
}

// Most series repeat the metadata of a series with the same name. Once per name and request is enough.
void V2Walk::TakeMetadata(const Metadata& metadata, const ScannedSeries& series) {
  if ((metadata.type | metadata.help | metadata.unit) == 0) return;  // senders write this if they have no metadata
  if (std::max(metadata.help, metadata.unit) >= scan_.symbols_.size()) {
    return RefuseItem([&] {
      return format("metadata refers to symbol {} of {}", std::max(metadata.help, metadata.unit),
                    scan_.symbols_.size());
    });
  }
  const uint32_t name_symbol = MetricNameOf(series);
  if (name_symbol == 0) return;
  // As one number, never 0. Types beyond the known ones mean the same. FamilyOf() asks for histograms.
  constexpr int kSymbolBits = 21;
  static_assert(kMaxSymbolsPerRequest < 1 << kSymbolBits);
  const uint64_t type = std::min<uint64_t>(metadata.type, UINT16_MAX) << 1 | (series.histograms != 0 ? 1 : 0);
  const uint64_t whole = (type << kSymbolBits | metadata.help) << kSymbolBits | metadata.unit;
  if (!scan_.symbols_.Tell(name_symbol, whole)) return;
  const std::string_view name = scan_.symbols_.text(name_symbol);
  const std::string_view family = scan_.FamilyOf(series, name, metadata.type);
  const auto parts = scan_.symbols_.parts();
  const auto family_hash = family.size() == name.size() ? parts[name_symbol].hash : hasher_.OfPart(family).hash;
  const std::array<LocalHash, 4> content = {LocalHash{metadata.type, 0}, family_hash, parts[metadata.help].hash,
                                            parts[metadata.unit].hash};
  const std::string_view bytes(reinterpret_cast<const char*>(content.data()), sizeof content);
  scan_.metadata_.push_back({.hash = hasher_(bytes).lo,
                             .message = metadata.message,
                             .series = static_cast<uint32_t>(&series - scan_.series_.data())});
}

// The metric name comes first unless a label's name has an upper-case letter.
uint32_t V2Walk::MetricNameOf(const ScannedSeries& series) const {
  if (!references_good_) return 0;
  const char* at = series.labels.data();
  const char* const end = at + series.labels.size();
  uint32_t name = 0;
  uint32_t value = 0;
  if (at != end && (at = ReadReference(at, end, name)) != nullptr && scan_.symbols_.IsMetricName(name) &&
      (at = ReadReference(at, end, value)) != nullptr && !scan_.symbols_.text(value).empty()) {
    return value;
  }
  return scan_.NameOf(series);
}

// Everything is in local variables: the compiler must assume that a write through `out` changes members, and would load
// them again.
model::Fingerprint V2Walk::MakeKey(ScannedSeries& series) {
  const char* at = series.labels.data();
  const char* const end = at + series.labels.size();
  uint32_t* out = references_.data();
  const uint32_t* const full = out + references_.size();
  uint32_t highest = 0;
  while (at != end) {
    uint32_t reference = 0;
    at = ReadReference(at, end, reference);
    if (at == nullptr || out == full) return TakeReferences(series), model::Fingerprint();
    highest = std::max(highest, reference);
    *out++ = reference;
  }
  const auto count = static_cast<size_t>(out - references_.data());
  if (highest >= scan_.symbols_.size() || count % 2 != 0) return TakeReferences(series), model::Fingerprint();
  uint64_t bytes = 0;
  const auto key = hasher_.OfSequence(scan_.symbols_.parts().data(), std::span(references_).first(count), bytes);
  CountLabelBytes(bytes);
  return key;
}

// Handles every series that gets no key: checks its references, and counts the bytes that they stand for.
void V2Walk::TakeReferences(ScannedSeries& series) {
  const uint32_t symbols = scan_.symbols_.size();
  size_t count = 0;
  uint64_t bytes = 0;
  bool in_range = true;
  broken_ = !ForEachReference(series.message, [&](uint32_t reference) {
    in_range &= reference < symbols;
    if (in_range) bytes += scan_.symbols_.parts()[reference].bytes;
    ++count;
  });
  CountLabelBytes(bytes);
  references_good_ = in_range && count % 2 == 0;
  if (!references_good_ && series.refusal == Refusal::kNone) series.refusal = Refusal::kBadReference;
}

}  // namespace mi::codec
