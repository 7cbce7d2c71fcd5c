// Request{4 symbols, 5 timeseries}, TimeSeries{1 labels_refs, 2 samples, 3 histograms, 4 exemplars, 5 metadata}.
//
// The labels are references into the request's table of strings. Their canonical bytes are put together again in one
// reused buffer and hashed: the key is the fingerprint itself, the same that a 1.0 sender of the series gives, and
// takes no second place in the seen table. README.md has the figures of this and of the alternative.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "codec/walk.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Tag;
using wire::Type;

// Whether copies may read behind a symbol.
enum class Copy { kExact, kWithSlack };

// Copies a symbol's field under another tag: 32 bytes at a time, which is mostly once. The bytes behind are written
// over by what follows.
template <Copy copy>
inline char* AppendField(char* out, char tag, SymbolTable::Symbol symbol) {
  constexpr size_t kStep = SymbolTable::kCopySlack;
  size_t done = 0;
  if (copy == Copy::kExact) {
    std::memcpy(out, symbol.field, symbol.field_size);
    done = symbol.field_size;
  }
  while (done < symbol.field_size) {
    std::memcpy(out + done, symbol.field + done, kStep);
    done += kStep;
  }
  *out = tag;
  return out + symbol.field_size;
}

// Requires: symbols of at most kMaxSymbolBytes, so that a length takes at most two bytes.
template <Copy copy>
inline char* AppendLabel(char* out, SymbolTable::Symbol name, SymbolTable::Symbol value) {
  const uint32_t size = name.field_size + value.field_size;
  const uint32_t two_bytes = size >= 0x80 ? 1 : 0;
  out[0] = 0x0a;
  out[1] = static_cast<char>((size & 0x7f) | two_bytes << 7);
  out[2] = static_cast<char>(size >> 7);
  out = AppendField<copy>(out + 2 + two_bytes, 0x0a, name);
  return AppendField<copy>(out, 0x12, value);
}

// Two references that stand side by side, of one or two bytes each, without a branch on which. Gives how many bytes
// they take; 0 when one is longer. Requires: 8 readable bytes.
size_t ReadUsualPair(const char* at, uint32_t& first, uint32_t& second) {
  const auto word = wire::Load<uint64_t>(at);
  const uint64_t first_two = word >> 7 & 1;
  const uint64_t rest = word >> (8 + 8 * first_two);
  const uint64_t second_two = rest >> 7 & 1;
  first = static_cast<uint32_t>((word & 0x7f) | (word >> 1 & 0x3f80 & -first_two));
  second = static_cast<uint32_t>((rest & 0x7f) | (rest >> 1 & 0x3f80 & -second_two));
  const bool longer = ((word & 0x8000 & -first_two) | (rest & 0x8000 & -second_two)) != 0;
  return longer ? 0 : 2 + first_two + second_two;
}

// Any two references; null when there are none.
const char* ReadPair(const char* at, const char* end, uint32_t& first, uint32_t& second) {
  uint64_t wide = 0;
  at = wire::ReadVarint(at, end, wide);
  first = static_cast<uint32_t>(wide);
  if (at != nullptr) at = wire::ReadVarint(at, end, wide);
  second = static_cast<uint32_t>(wide);
  return at;
}

// The hottest loop for 2.0: puts the canonical bytes of sorted labels together at `out`, gives their end, and `family`,
// the symbol of the metric name. Null when a label is not as usual: out of order, out of range, long, or broken.
// Everything is in locals: what is written through `out` could be anything else, and would be loaded again.
template <Copy copy>
char* RebuildSorted(const SymbolTable& table, std::string_view references, const char* decoded_end, char* out,
                    uint32_t& family) {
  const SymbolTable::Symbol* const symbols = table.data();
  const uint64_t* const orders = table.orders();
  const uint32_t symbol_count = table.size();
  char* const out_end = out + Walk::kMaxRebuiltBytes;
  const char* at = references.data();
  const char* const end = at + references.size();
  uint64_t order_before = 0;  // the empty string: below every name
  uint32_t before = 0;
  uint32_t family_here = 0;
  while (at != end) {
    uint32_t name_reference = 0;
    uint32_t value_reference = 0;
    const size_t size = decoded_end - at >= 8 ? ReadUsualPair(at, name_reference, value_reference) : 0;
    at = size != 0 ? at + size : ReadPair(at, end, name_reference, value_reference);
    if (at == nullptr || at > end || std::max(name_reference, value_reference) >= symbol_count) return nullptr;
    const uint64_t order = orders[name_reference];
    const SymbolTable::Symbol name = symbols[name_reference];
    const SymbolTable::Symbol value = symbols[value_reference];
    if (order <= order_before && (order < order_before || name.text() <= symbols[before].text())) return nullptr;
    if (std::max(name.text_size, value.text_size) > Walk::kMaxSymbolBytes || out > out_end) return nullptr;
    before = name_reference;
    order_before = order;
    if (value.text_size == 0) continue;
    if (order == kMetricNameOrder && name.text_size == model::kMetricName.size()) family_here = value_reference;
    out = AppendLabel<copy>(out, name, value);
  }
  family = family_here;
  return out;
}

// Calls `take` with every reference of a series, however they are written. False: they cannot be read.
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

uint32_t RequestScan::FamilyOf(const ScannedSeries& series) const {
  uint32_t family = 0;
  bool is_name = true;
  bool is_family = false;
  ForEachReference(series.message, [&](uint32_t reference) {  // the walk has read them
    const std::string_view text = reference < symbols_.size() ? symbols_.text(reference) : std::string_view();
    if (is_name) is_family = text == model::kMetricName;
    if (!is_name && is_family && family == 0 && !text.empty()) family = reference;
    is_name = !is_name;
  });
  return family;
}

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
  for (ScannedSeries& series : scan_.series_) {
    if (!WalkSeries(series)) return Broken(series.message.data());
  }
  if (scan_.metadata_.size() > kMaxSeriesPerRequest) return TooMany("metadata", kMaxSeriesPerRequest);
  return {};
}

// Symbols may stand behind the series that use them, so the series are only listed here.
Status V2Walk::CollectTopLevel() {
  const char* at = decoded_.data();
  const char* const end = at + decoded_.size();
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
    if (field.number == 4) scan_.symbols_.Add({begin, static_cast<size_t>(at - begin)}, field.bytes, end);
    if (field.number == 5) scan_.series_.emplace_back().message = field.bytes;
    looks_like_v1_ |= field.Is(1, Type::kBytes) || field.Is(3, Type::kBytes);  // reserved in 2.0
    if (scan_.series_.size() > kMaxSeriesPerRequest) return TooMany("series", kMaxSeriesPerRequest);
    if (scan_.symbols_.size() > kMaxSymbolsPerRequest) return TooMany("symbols", kMaxSymbolsPerRequest);
  }
  return {};
}

bool V2Walk::WalkSeries(ScannedSeries& series) {
  bool in_one_piece = true;
  Begin();
  metadata_ = {};
  family_ = 0;
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
    const bool read = ForEachReference(series.message, [&](uint32_t reference) {
      in_range &= reference < scan_.symbols_.size();
      ++count;
    });
    if (!read) return false;
    NoteReferences(series, in_range, count);
  } else if (!series.labels.empty()) {
    const std::string_view canonical = Rebuild(series);
    if (broken_) return false;
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
    RefuseItem(in_range ? format("an exemplar has an odd number of label references ({})", references)
                        : format("an exemplar refers to a symbol beyond the {} of the request", scan_.symbols_.size()));
  }
  return true;
}

bool V2Walk::ReadMetadata(std::string_view message) {
  if (metadata_read_.message == message) {  // most often the neighbour's, byte for byte
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

// Neighbours mostly belong to one family: a statement that repeats the one before it is passed over.
void V2Walk::TakeMetadata(Metadata metadata, const ScannedSeries& series) {
  if ((metadata.type | metadata.help | metadata.unit) == 0) return;  // what senders write when they know nothing
  if (std::max(metadata.help, metadata.unit) >= scan_.symbols_.size()) {
    return RefuseItem(
        format("metadata refers to symbol {} of {}", std::max(metadata.help, metadata.unit), scan_.symbols_.size()));
  }
  metadata.family = family_ != 0 || !references_good_ ? family_ : scan_.FamilyOf(series);
  if (metadata.family == 0 || metadata.SameAs(last_metadata_)) return;
  last_metadata_ = metadata;
  const std::array<uint64_t, 4> content = {metadata.type, scan_.symbols_.HashOf(metadata.family, fingerprinter_),
                                           scan_.symbols_.HashOf(metadata.help, fingerprinter_),
                                           scan_.symbols_.HashOf(metadata.unit, fingerprinter_)};
  const std::string_view bytes(reinterpret_cast<const char*>(content.data()), sizeof content);
  scan_.metadata_.push_back({.hash = fingerprinter_(bytes).lo,
                             .message = metadata.message,
                             .series = static_cast<uint32_t>(&series - scan_.series_.data())});
}

std::string_view V2Walk::Rebuild(ScannedSeries& series) {
  const SymbolTable& symbols = scan_.symbols_;
  char* const begin = scan_.rebuilt_.get();
  const auto rebuild = symbols.has_slack() ? RebuildSorted<Copy::kWithSlack> : RebuildSorted<Copy::kExact>;
  const char* const decoded_end = decoded_.data() + decoded_.size();
  const char* const end = symbols.copyable() ? rebuild(symbols, series.labels, decoded_end, begin, family_) : nullptr;
  if (end == nullptr) return RebuildUnsorted(series);
  return {begin, static_cast<size_t>(end - begin)};
}

// Everything that the loop above does not take: finds out why, and sorts where that is all there is to it.
std::string_view V2Walk::RebuildUnsorted(ScannedSeries& series) {
  const SymbolTable& symbols = scan_.symbols_;
  uint32_t name = 0;
  size_t count = 0;
  size_t bytes = 0;
  bool in_range = true;
  bool usual = symbols.copyable();
  family_ = 0;
  sorter_.Clear();
  const Field field{.number = 1, .type = Type::kBytes, .bytes = series.labels};
  const bool read = wire::ReadRepeatedVarint(field, [&](uint64_t wide) {
    const auto reference = static_cast<uint32_t>(wide);
    in_range &= reference < symbols.size();
    ++count;
    usual = usual && in_range && symbols[reference].text_size <= kMaxSymbolBytes;
    if (!usual) return;
    bytes += symbols[reference].field_size + 4;
    if (count % 2 != 0) {
      name = reference;
    } else {
      usual = bytes <= kMaxRebuiltBytes && symbols[name].text_size != 0 &&
              sorter_.Add(symbols.orders()[name], symbols.text(name), {name, reference});
    }
  });
  if (!read) return broken_ = true, std::string_view();
  NoteReferences(series, in_range, count);
  // A name that stands twice is for the slow path to refuse.
  if (!usual || !references_good_ || sorter_.has_repeated_name()) return {};
  char* const begin = scan_.rebuilt_.get();
  char* out = begin;
  for (size_t i = 0; i < sorter_.size(); ++i) {
    const SymbolPair& label = sorter_[i];
    if (symbols[label.value].text_size == 0) continue;
    if (symbols.IsMetricName(label.name)) family_ = label.value;
    out = AppendLabel<Copy::kExact>(out, symbols[label.name], symbols[label.value]);
  }
  return {begin, static_cast<size_t>(out - begin)};
}

void V2Walk::NoteReferences(ScannedSeries& series, bool in_range, size_t count) {
  const bool good = in_range && count % 2 == 0;
  if (!good && series.refusal == Refusal::kNone) series.refusal = Refusal::kBadReference;
  references_good_ = good;
}

}  // namespace mi::codec
