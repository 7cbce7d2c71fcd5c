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

// What the fast path puts together: more goes to the slow path, which checks the limits before it copies anything. It
// also bounds what a few bytes of references to long symbols can cost.
constexpr size_t kMaxSymbolBytes = 4096;
constexpr size_t kMaxRebuiltBytes = 64 << 10;
constexpr size_t kMaxUnsortedLabels = 128;
constexpr size_t kMaxLabelBytes = 2 * kMaxSymbolBytes + 32;
constexpr size_t kCopySlack = 32;  // AppendSymbol writes, and reads, up to so much behind the end

constexpr uint64_t kMetricNameOrder = 0x5f5f6e616d655f5f;  // "__name__"

bool IsMetricName(uint64_t order, size_t size) {
  return order == kMetricNameOrder && size == model::kMetricName.size();
}

uint64_t OrderOf(std::string_view text) {
  uint64_t word = 0;
  std::memcpy(&word, text.data(), std::min(text.size(), sizeof word));
  return __builtin_bswap64(word);
}

char* WriteVarint(char* out, size_t value) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}

size_t VarintSize(size_t value) { return value < 0x80 ? 1 : value < 0x4000 ? 2 : (std::bit_width(value) + 6) / 7; }

// Calls `take` with every reference of a series, however they are written.
template <typename Take>
void ForEachReference(std::string_view series, Take&& take) {
  wire::FieldReader reader(series);
  while (reader.Next()) {
    if (reader.field().number != 1) continue;
    wire::ReadRepeatedVarint(reader.field(), [&](uint64_t wide) { take(static_cast<uint32_t>(wide)); });
  }
}

}  // namespace

uint32_t RequestScan::FamilyOf(const ScannedSeries& series) const {
  uint32_t family = 0;
  bool is_name = true;
  bool is_family = false;
  ForEachReference(series.message, [&](uint32_t reference) {
    const std::string_view text = reference < symbols_.size() ? symbols_[reference].text : std::string_view();
    if (is_name) is_family = text == model::kMetricName;
    if (!is_name && is_family && family == 0 && !text.empty()) family = reference;
    is_name = !is_name;
  });
  return family;
}

Status V2Walk::Run() {
  if (Status collected = CollectTopLevel(); !collected) return collected;
  const auto& symbols = scan_.symbols_;
  if (symbols.empty() && !scan_.series_.empty()) return Fail(Errc::kInvalid, "the request has series but no symbols");
  if (!symbols.empty() && !symbols[0].text.empty()) {
    return Fail(Errc::kInvalid, "the first symbol of the request is not the empty string");
  }
  if (looks_like_v1_ && symbols.empty()) {
    return Fail(Errc::kInvalid, "the body is a remote write 1.0 request, the Content-Type says 2.0");
  }
  if (!scan_.rebuilt_) scan_.rebuilt_ = std::make_unique<char[]>(kMaxRebuiltBytes + kMaxLabelBytes + kCopySlack);
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
    at = wire::ReadField(at, end, field);
    if (at == nullptr) return Broken(begin);
    if ((field.number == 4 || field.number == 5) && field.type != Type::kBytes) return Broken(begin);
    if (field.number == 4) AddSymbol(begin, field.bytes);
    if (field.number == 5) scan_.series_.emplace_back().message = field.bytes;
    looks_like_v1_ |= field.Is(1, Type::kBytes) || field.Is(3, Type::kBytes);  // reserved in 2.0
    if (scan_.series_.size() > kMaxSeriesPerRequest) return TooMany("series", kMaxSeriesPerRequest);
    if (scan_.symbols_.size() > kMaxSymbolsPerRequest) return TooMany("symbols", kMaxSymbolsPerRequest);
  }
  return {};
}

void V2Walk::AddSymbol(const char* field_begin, std::string_view text) {
  const auto head = static_cast<size_t>(text.data() - field_begin);
  if (head != 1 + VarintSize(text.size())) symbols_as_written_ = false;
  scan_.symbols_.push_back({.text = text, .order = OrderOf(text), .hash = 0});
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
    if (static_cast<unsigned char>(*at) == Tag(2, Type::kBytes)) {
      std::string_view sample;
      at = wire::ReadBytes(at + 1, end, sample);
      if (at == nullptr || !TakeSample(sample, series)) return false;
      continue;
    }
    Field field;
    at = wire::ReadField(at, end, field);
    if (at == nullptr) return false;
    if (field.Is(1, Type::kBytes) && series.labels.empty()) {
      series.labels = field.bytes;
    } else if (field.number == 1) {  // in several pieces, or not packed
      if (!wire::ReadRepeatedVarint(field, [](uint64_t) {})) return false;
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
    ForEachReference(series.message, [&](uint32_t reference) {
      in_range &= reference < scan_.symbols_.size();
      ++count;
    });
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
    case 5: return ReadMetadata(message, metadata_);
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

bool V2Walk::ReadMetadata(std::string_view message, Metadata& out) {
  out = {.message = message};
  wire::FieldReader reader(message);
  while (reader.Next()) {
    const Field& field = reader.field();
    if (field.number != 1 && field.number != 3 && field.number != 4) continue;
    if (field.type != Type::kVarint) return false;
    const auto value = static_cast<uint32_t>(field.scalar);
    (field.number == 1 ? out.type : field.number == 3 ? out.help : out.unit) = value;
  }
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
  const std::array<uint64_t, 4> content = {metadata.type, HashOf(metadata.family), HashOf(metadata.help),
                                           HashOf(metadata.unit)};
  const std::string_view bytes(reinterpret_cast<const char*>(content.data()), sizeof content);
  scan_.metadata_.push_back({.hash = fingerprinter_(bytes).lo,
                             .message = metadata.message,
                             .series = static_cast<uint32_t>(&series - scan_.series_.data())});
}

uint64_t V2Walk::HashOf(uint32_t symbol) {
  RequestScan::Symbol& entry = scan_.symbols_[symbol];
  if (entry.hash == 0) entry.hash = fingerprinter_(entry.text).lo | 1;
  return entry.hash;
}

std::string_view V2Walk::Rebuild(ScannedSeries& series) {
  const RequestScan::Symbol* const symbols = scan_.symbols_.data();
  const size_t symbol_count = scan_.symbols_.size();
  char* const begin = scan_.rebuilt_.get();
  char* out = begin;
  const RequestScan::Symbol* before = symbols;  // the empty string: below every name
  const char* at = series.labels.data();
  const char* const end = at + series.labels.size();
  bool sorted = symbols_as_written_;
  while (at != end && sorted) {
    uint64_t name_reference = 0;
    uint64_t value_reference = 0;
    at = wire::ReadVarint(at, end, name_reference);
    if (at != nullptr) at = wire::ReadVarint(at, end, value_reference);
    if (at == nullptr || std::max(name_reference, value_reference) >= symbol_count) {
      sorted = false;
      break;
    }
    const RequestScan::Symbol& name = symbols[name_reference];
    const RequestScan::Symbol& value = symbols[value_reference];
    sorted = (before->order < name.order || (before->order == name.order && before->text < name.text)) &&
             std::max(name.text.size(), value.text.size()) <= kMaxSymbolBytes &&
             out - begin <= static_cast<ptrdiff_t>(kMaxRebuiltBytes);
    before = &name;
    if (value.text.empty() || !sorted) continue;
    if (IsMetricName(name.order, name.text.size())) family_ = static_cast<uint32_t>(value_reference);
    out = AppendLabel(out, name, value);
  }
  if (!sorted) return RebuildUnsorted(series);
  return {begin, static_cast<size_t>(out - begin)};
}

// Everything that the loop above does not take: finds out why, and sorts where that is all there is to it.
std::string_view V2Walk::RebuildUnsorted(ScannedSeries& series) {
  std::array<SymbolPair, kMaxUnsortedLabels> pairs;
  const RequestScan::Symbol* name = nullptr;
  size_t count = 0;
  size_t bytes = 0;
  bool in_range = true;
  bool small = symbols_as_written_;  // small and simple enough to be sorted here
  const Field field{.number = 1, .type = Type::kBytes, .bytes = series.labels};
  const bool read = wire::ReadRepeatedVarint(field, [&](uint64_t wide) {
    const auto reference = static_cast<uint32_t>(wide);
    in_range &= reference < scan_.symbols_.size();
    const bool is_name = count++ % 2 == 0;
    small &= in_range && count <= 2 * kMaxUnsortedLabels && bytes <= kMaxRebuiltBytes;
    if (!small) return;
    const RequestScan::Symbol& symbol = scan_.symbols_[reference];
    bytes += symbol.text.size() + kCopySlack;
    small = symbol.text.size() <= kMaxSymbolBytes;
    if (is_name) {
      name = &symbol;
      small &= !symbol.text.empty();
    } else {
      pairs[count / 2 - 1] = {name, &symbol};
    }
  });
  if (!read) return broken_ = true, std::string_view();
  NoteReferences(series, in_range, count);
  if (!small || series.refusal != Refusal::kNone) return {};
  const std::span<SymbolPair> labels(pairs.data(), count / 2);
  std::ranges::sort(labels, [](const SymbolPair& a, const SymbolPair& b) {
    return a.name->order != b.name->order ? a.name->order < b.name->order : a.name->text < b.name->text;
  });
  char* const begin = scan_.rebuilt_.get();
  char* out = begin;
  const SymbolPair* before = nullptr;
  for (const SymbolPair& label : labels) {
    if (before != nullptr && before->name->text == label.name->text) return {};  // twice: the slow path refuses it
    before = &label;
    if (!label.value->text.empty()) out = AppendLabel(out, *label.name, *label.value);
  }
  return {begin, static_cast<size_t>(out - begin)};
}

void V2Walk::NoteReferences(ScannedSeries& series, bool in_range, size_t count) {
  const bool good = in_range && count % 2 == 0;
  if (!good && series.refusal == Refusal::kNone) series.refusal = Refusal::kBadReference;
  references_good_ = good;
}

char* V2Walk::AppendLabel(char* out, const RequestScan::Symbol& name, const RequestScan::Symbol& value) const {
  const size_t inside =
      2 + VarintSize(name.text.size()) + name.text.size() + VarintSize(value.text.size()) + value.text.size();
  *out++ = 0x0a;
  out = WriteVarint(out, inside);
  *out++ = 0x0a;
  out = AppendSymbol(out, name);
  *out++ = 0x12;
  return AppendSymbol(out, value);
}

// A symbol's own length stands in front of it in the request, just as the canonical form wants it.
char* V2Walk::AppendSymbol(char* out, const RequestScan::Symbol& symbol) const {
  const size_t head = VarintSize(symbol.text.size());
  const char* const from = symbol.text.data() - head;
  const size_t size = head + symbol.text.size();
  if (size <= kCopySlack && static_cast<size_t>(decoded_.data() + decoded_.size() - from) >= kCopySlack) {
    std::memcpy(out, from, kCopySlack);  // one load and store; what is behind `size` is written over
  } else {
    std::memcpy(out, from, size);
  }
  return out + size;
}

}  // namespace mi::codec
