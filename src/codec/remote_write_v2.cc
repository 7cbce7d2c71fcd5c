// Request{4 symbols, 5 timeseries}, TimeSeries{1 labels_refs, 2 samples, 3 histograms, 4 exemplars, 5 metadata}.
//
// The labels are references into the request's table of strings. The canonical bytes are rebuilt in one reused buffer,
// from one piece per label, and hashed. So the key is the fingerprint itself, the same as for a 1.0 sender of the
// series, and needs no second entry in the seen table. README.md has the costs of this and of the alternative.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "codec/walk.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Tag;
using wire::Type;

// Reads a reference; null if there is none. It branches on the length on purpose: all series of a sender have the same
// shape, so a predicted branch lets the next label begin early, whereas a computed length would make it wait.
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
// references may stand for kilobytes of symbols, so the time is not linear in the size of the request by itself. It is
// bounded: rebuilt_bytes_ counts what is rebuilt or compared, also for series that are given up, and the request is
// refused above MaxLabelBytes. Metadata is only listed here; it is decoded later, if it is not known.
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
  scan_.pieces_.Begin(symbols);
  const uint64_t limit = max_label_bytes_;
  for (ScannedSeries& series : scan_.series_) {
    if (!WalkSeries(series)) return Broken(series.message.data());
    if (rebuilt_bytes_ > limit) {
      return Fail(
          Errc::kTooLarge,
          format(
              "the labels of the request are {} or more if written out, limit {} for {} decoded: send smaller requests",
              FormatBytesAbove(rebuilt_bytes_, limit), FormatBytes(limit), FormatBytes(decoded_.size())));
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
    if (field.number == 4) scan_.symbols_.Add(field.bytes, end);
    if (field.number == 5) scan_.series_.emplace_back().message = field.bytes;
    looks_like_v1_ |= field.Is(1, Type::kBytes) || field.Is(3, Type::kBytes);  // reserved in 2.0
    if (scan_.series_.size() > max_series_) return TooMany("series", max_series_);
    if (scan_.symbols_.size() > max_symbols) return TooMany("symbols", max_symbols);
  }
  return {};
}

bool V2Walk::WalkSeries(ScannedSeries& series) {
  bool in_one_piece = true;
  Begin();
  metadata_ = {};
  metric_name_ = 0;
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
    size_t count = 0;
    bool in_range = true;
    size_t bytes = 0;
    const bool read = ForEachReference(series.message, [&](uint32_t reference) {
      in_range &= reference < scan_.symbols_.size();
      if (in_range && bytes < kMaxRebuiltBytes) bytes += scan_.symbols_.text(reference).size();
      ++count;
    });
    if (!read) return false;
    rebuilt_bytes_ += std::min(bytes, kMaxRebuiltBytes);
    NoteReferences(series, in_range, count);
  } else if (!series.labels.empty()) {
    const std::string_view canonical = Rebuild(series);
    if (broken_) return false;
    rebuilt_bytes_ += canonical.size();
    if (!canonical.empty() && series.has_items()) {
      series.key = fingerprinter_(canonical);
      series.key_kind = KeyKind::kFingerprint;
    }
  }
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

// Neighbouring series mostly belong to one family: metadata that repeats the previous one is ignored.
void V2Walk::TakeMetadata(Metadata metadata, const ScannedSeries& series) {
  if ((metadata.type | metadata.help | metadata.unit) == 0) return;  // senders write this if they have no metadata
  if (std::max(metadata.help, metadata.unit) >= scan_.symbols_.size()) {
    return RefuseItem([&] {
      return format("metadata refers to symbol {} of {}", std::max(metadata.help, metadata.unit),
                    scan_.symbols_.size());
    });
  }
  metadata.name = metric_name_ != 0 || !references_good_ ? metric_name_ : scan_.NameOf(series);
  if (metadata.name == 0 || metadata.SameAs(last_metadata_)) return;
  last_metadata_ = metadata;
  const std::string_view name = scan_.symbols_.text(metadata.name);
  const std::string_view family = scan_.FamilyOf(series, name, metadata.type);
  const std::array<uint64_t, 4> content = {
      metadata.type,
      family.size() == name.size() ? scan_.symbols_.HashOf(metadata.name, fingerprinter_)
                                   : SymbolTable::Hash(family, fingerprinter_),
      scan_.symbols_.HashOf(metadata.help, fingerprinter_), scan_.symbols_.HashOf(metadata.unit, fingerprinter_)};
  const std::string_view bytes(reinterpret_cast<const char*>(content.data()), sizeof content);
  scan_.metadata_.push_back({.hash = fingerprinter_(bytes).lo,
                             .message = metadata.message,
                             .series = static_cast<uint32_t>(&series - scan_.series_.data())});
}

// The hottest loop for 2.0. Everything is in local variables: the compiler must assume that a write through `out`
// changes members, and would load them again.
std::string_view V2Walk::Rebuild(ScannedSeries& series) {
  LabelPieces& pieces = scan_.pieces_;
  char* const begin = scan_.rebuilt_.get();
  char* const full = begin + kMaxRebuiltBytes;
  char* out = begin;
  const char* at = series.labels.data();
  const char* const end = at + series.labels.size();
  uint64_t order_before = 0;  // the empty string: below every name
  uint32_t before = 0;
  uint32_t metric_name = 0;
  while (at != end) {
    uint32_t name = 0;
    uint32_t value = 0;
    at = ReadReference(at, end, name);
    if (at != nullptr) at = ReadReference(at, end, value);
    if (at == nullptr || out > full) return RebuildUnsorted(series, static_cast<size_t>(out - begin));
    const LabelPieces::Piece* const piece = pieces.Find(name, value);
    if (piece == nullptr) return RebuildUnsorted(series, static_cast<size_t>(out - begin));
    if (piece->order <= order_before && !IsBefore(before, order_before, name, piece->order)) {
      return RebuildUnsorted(series, static_cast<size_t>(out - begin));
    }
    before = name;
    order_before = piece->order;
    if (piece->order == kMetricNameOrder && scan_.symbols_.IsMetricName(name)) metric_name = value;
    out = LabelPieces::Append(*piece, out);
  }
  metric_name_ = metric_name;
  return {begin, static_cast<size_t>(out - begin)};
}

bool V2Walk::IsBefore(uint32_t a, uint64_t order_a, uint32_t b, uint64_t order_b) const {
  return order_a != order_b ? order_a < order_b : scan_.symbols_.text(a) < scan_.symbols_.text(b);
}

// Handles every series that the loop above gave up on: finds the reason, and sorts the labels if they are only
// unsorted.
std::string_view V2Walk::RebuildUnsorted(ScannedSeries& series, size_t copied) {
  const SymbolTable& symbols = scan_.symbols_;
  uint32_t name = 0;
  size_t count = 0;
  size_t bytes = 0;  // as far as the slow path may examine them
  bool in_range = true;
  bool usual = true;
  metric_name_ = 0;
  sorter_.Clear();
  const Field field{.number = 1, .type = Type::kBytes, .bytes = series.labels};
  const bool read = wire::ReadRepeatedVarint(field, [&](uint64_t wide) {
    const auto reference = static_cast<uint32_t>(wide);
    in_range &= reference < symbols.size();
    usual = usual && in_range && symbols.text(reference).size() <= LabelPieces::kMaxSymbolBytes;
    if (++count % 2 != 0) {
      name = reference;
      return;
    }
    if (in_range && bytes < kMaxRebuiltBytes) bytes += symbols.text(name).size() + symbols.text(reference).size();
    if (usual) {
      usual = bytes <= kMaxRebuiltBytes / 2 && !symbols.text(name).empty() && !symbols.text(reference).empty() &&
              sorter_.Add(symbols.order(name), symbols.text(name), {name, reference});
    }
  });
  if (!read) return broken_ = true, std::string_view();
  NoteReferences(series, in_range, count);
  rebuilt_bytes_ += sorter_.tied_bytes();
  // The slow path refuses a name that occurs twice, and checks the name of a label whose value is empty.
  if (!usual || !references_good_ || sorter_.has_repeated_name()) {
    rebuilt_bytes_ += copied + std::min(bytes, kMaxRebuiltBytes);
    return {};
  }
  char* const begin = scan_.rebuilt_.get();
  char* out = begin;
  for (size_t i = 0; i < sorter_.size(); ++i) {
    const SymbolPair label = sorter_[i];
    const LabelPieces::Piece* const piece = scan_.pieces_.Find(label.name, label.value);
    if (symbols.IsMetricName(label.name)) metric_name_ = label.value;
    out = LabelPieces::Append(*piece, out);
  }
  return {begin, static_cast<size_t>(out - begin)};
}

void V2Walk::NoteReferences(ScannedSeries& series, bool in_range, size_t count) {
  const bool good = in_range && count % 2 == 0;
  if (!good && series.refusal == Refusal::kNone) series.refusal = Refusal::kBadReference;
  references_good_ = good;
}

}  // namespace mi::codec
