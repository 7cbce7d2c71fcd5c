#include "catalog/series_log.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <limits>

namespace mi::catalog {
namespace {

uint32_t ClampSeconds(int64_t seconds) {
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

SeenTimes SeenTimes::FromMs(int64_t first_seen_ms, int64_t last_seen_ms) {
  const int64_t last = last_seen_ms / 1000 + (last_seen_ms > 0 && last_seen_ms % 1000 != 0 ? 1 : 0);
  return {ClampSeconds(first_seen_ms / 1000), ClampSeconds(last)};
}

// Room for a jump stays behind every record, so that the next record can always be reached from it. The first record of
// a block needs none: the block has its address.
uint8_t* SeriesLog::Place(size_t size, bool begins_block) {
  if (records_.left() >= size + kJump) return records_.Allocate(size);
  uint8_t* jump = begins_block ? nullptr : records_.cursor();
  uint8_t* at = records_.AllocateInNewChunk(size, kJump);
  if (jump != nullptr) {
    *jump = 0;
    std::memcpy(jump + 1, &at, sizeof(at));
  }
  return at;
}

// A record keeps its id as the step from the highest id before it, and its pairs as gaps. Most ids follow each other,
// so most steps are 1 and take no byte. Example with the ids 7, 8, 12, 10:
//
//   block: highest_before 6 | step 1 | step 1 | step 4 | step -2 (late: the highest stays 12) | ...
//
// A record is complete before size_ grows, and a reader learns of size_ only with a snapshot. So a reader never reads a
// record, or the jump behind it, while it is written. An append costs the same whatever the size of the log; only a
// late id costs a look-up in the map.
void SeriesLog::Append(uint64_t id, std::span<const PairId> pairs, SeenTimes times) {
  assert(id > 0 && !Find(id) && !pairs.empty() && std::ranges::is_sorted(pairs));
  body_.resize(pairs.size() * kMaxVarint);
  uint8_t* body_end = body_.data();
  PairId before = 0;
  for (const PairId pair : pairs) {
    body_end = PutVarint(pair - before, body_end);
    before = pair;
  }
  const auto body_size = static_cast<size_t>(body_end - body_.data());

  const bool begins_block = size_ % kBlock == 0;
  const auto step = static_cast<int64_t>(id - highest_id_);
  const uint64_t zigzag = static_cast<uint64_t>(step) << 1 ^ static_cast<uint64_t>(step >> 63);
  uint8_t head[2 * kMaxVarint];
  uint8_t* head_end = PutVarint(uint64_t{body_size} << 1 | (step != 1 ? 1 : 0), head);
  if (step != 1) head_end = PutVarint(zigzag, head_end);
  const auto head_size = static_cast<size_t>(head_end - head);

  uint8_t* at = Place(head_size + body_size, begins_block);
  std::memcpy(at, head, head_size);
  std::memcpy(at + head_size, body_.data(), body_size);
  if (begins_block) blocks_.Append() = {at, highest_id_};
  AppendBounds(times);
  times_.Append().store(Pack(times), std::memory_order_relaxed);
  if (id < highest_id_) NoteLate(id, size_);
  highest_id_ = std::max(highest_id_, id);
  ++size_;
}

// A question about time is decided by the bounds of a window, or else by those of a word, or else by its 64 times:
//
//   every series is selected    most.first <= latest_first   and  least.last >= earliest_last
//   none is                     least.first > latest_first   or   most.last < earliest_last
//
// Series that arrived together tend to end together. So most words are decided by their bounds, and a range that covers
// everything, or nothing, reads no time at all. Times move in both directions (a series was seen earlier than was
// known; a clock that was ahead is corrected). So bounds are first widened to the new time, then the time is stored,
// and then the bounds are tightened if the old time was one of them. A reader that comes in between finds bounds that
// are too wide, and looks at the times; one that still sees the bounds from before answers as of before.
//
// Tightening reads the 64 times of the word, which are eight cache lines beside the one that was written, and rarely
// the bounds of the 256 words of the window.
void SeriesLog::SetTimes(Ordinal ordinal, SeenTimes times) {
  assert(ordinal < size_);
  const Span before = {Times(ordinal), Times(ordinal)};
  const Span after = {times, times};
  const uint32_t word = ordinal / kWordSeries;
  Bounds& of_word = words_[word];
  Bounds& of_window = windows_[ordinal / kWindow];
  const Span word_before = Load(of_word);
  Store(Unite(Load(of_window), after), of_window);
  Store(Unite(word_before, after), of_word);
  times_[ordinal].store(Pack(times), std::memory_order_relaxed);
  if (!MayTighten(of_word, before, after)) return;

  Span exact = after;
  const Ordinal end = std::min(size_, (word + 1) * kWordSeries);
  for (Ordinal at = word * kWordSeries; at < end; ++at) exact = Unite(exact, {Times(at), Times(at)});
  Store(exact, of_word);
  if (!MayTighten(of_window, word_before, exact)) return;

  constexpr uint32_t kWords = kWindow / kWordSeries;
  const uint32_t first_word = word / kWords * kWords;
  const auto end_word = static_cast<uint32_t>(std::min<size_t>(words_.size(), first_word + kWords));
  for (uint32_t at = first_word; at < end_word; ++at) exact = Unite(exact, Load(words_[at]));
  Store(exact, of_window);
}

// For the series that comes next.
void SeriesLog::AppendBounds(SeenTimes times) {
  const Span span = {times, times};
  if (size_ % kWordSeries == 0) Store(span, words_.Append());
  if (size_ % kWindow == 0) Store(span, windows_.Append());
  Bounds& of_word = words_[size_ / kWordSeries];
  Bounds& of_window = windows_[size_ / kWindow];
  Store(Unite(Load(of_word), span), of_word);
  Store(Unite(Load(of_window), span), of_window);
}

SeriesLog::Span SeriesLog::Load(const Bounds& bounds) {
  return {Unpack(bounds.least.load(std::memory_order_relaxed)), Unpack(bounds.most.load(std::memory_order_relaxed))};
}

void SeriesLog::Store(Span span, Bounds& bounds) {
  bounds.least.store(Pack(span.least), std::memory_order_relaxed);
  bounds.most.store(Pack(span.most), std::memory_order_relaxed);
}

SeriesLog::Span SeriesLog::Unite(Span a, Span b) {
  return {.least = {.first = std::min(a.least.first, b.least.first), .last = std::min(a.least.last, b.least.last)},
          .most = {.first = std::max(a.most.first, b.most.first), .last = std::max(a.most.last, b.most.last)}};
}

// Whether a part of what has the bounds stood at one of them, and has moved away from it.
bool SeriesLog::MayTighten(const Bounds& bounds, Span before, Span after) {
  const Span now = Load(bounds);
  return (before.least.first == now.least.first && after.least.first > now.least.first) ||
         (before.least.last == now.least.last && after.least.last > now.least.last) ||
         (before.most.first == now.most.first && after.most.first < now.most.first) ||
         (before.most.last == now.most.last && after.most.last < now.most.last);
}

Coverage SeriesLog::Judge(const Bounds& bounds, SeenCondition condition) {
  const Span span = Load(bounds);
  if (condition({.first = span.most.first, .last = span.least.last})) return Coverage::kAll;
  return condition({.first = span.least.first, .last = span.most.last}) ? Coverage::kSome : Coverage::kNone;
}

uint64_t SeriesLog::SeenWord(uint32_t word, SeenCondition condition) const {
  const Coverage coverage = Judge(words_[word], condition);
  if (coverage != Coverage::kSome) return coverage == Coverage::kAll ? ~uint64_t{0} : 0;
  const std::atomic<uint64_t>* times = &times_[size_t{word} * kWordSeries];
  uint64_t seen = 0;
  for (uint32_t i = 0; i < kWordSeries; ++i) {
    seen |= uint64_t{condition(Unpack(times[i].load(std::memory_order_relaxed)))} << i;
  }
  return seen;
}

bool SeriesLog::AnySeen(Ordinal first, uint32_t count, SeenCondition condition) const {
  if (count == 1) return condition(Times(first));  // cheaper than the bounds
  const Ordinal last = first + count - 1;
  for (uint32_t word = first / kWordSeries; word <= last / kWordSeries; ++word) {
    uint64_t seen = SeenWord(word, condition);
    if (word == first / kWordSeries) seen &= ~uint64_t{0} << first % kWordSeries;
    if (word == last / kWordSeries) seen &= ~uint64_t{0} >> (kWordSeries - 1 - last % kWordSeries);
    if (seen != 0) return true;
  }
  return false;
}

// Extends a run if both the id and the ordinal continue it. A transaction that commits late brings consecutive ids, so
// there is about one run per such transaction. At worst there is one run (64 bytes) per late series.
void SeriesLog::NoteLate(uint64_t id, Ordinal ordinal) {
  const auto above = late_.upper_bound(id);
  if (above != late_.begin()) {
    auto& [first_id, run] = *std::prev(above);
    if (first_id + run.count == id && run.first + run.count == ordinal) {
      ++run.count;
      return;
    }
  }
  late_.emplace_hint(above, id, LateRun{1, ordinal});
}

// Late ids are in the map. Every other id is above all ids before it, so among those ids and ordinals ascend together,
// and highest_before never falls from block to block. Late records lie in between, but do not change `highest`; that is
// why the walk can stop as soon as `highest` passes the id. Costs O(log runs + log blocks) and at most 16 records.
std::optional<Ordinal> SeriesLog::Find(uint64_t id) const {
  if (id == 0 || id > highest_id_) return std::nullopt;
  if (const auto above = late_.upper_bound(id); above != late_.begin()) {
    const auto& [first_id, run] = *std::prev(above);
    if (id - first_id < run.count) return run.first + static_cast<Ordinal>(id - first_id);
  }
  // Binary search in [low, high) for the last block with highest_before < id.
  uint32_t low = 0;
  uint32_t high = (size_ - 1) / kBlock + 1;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (blocks_[middle].highest_before < id ? low : high) = middle;
  }
  const uint32_t end = std::min(size_, (low + 1) * kBlock);
  uint64_t highest = blocks_[low].highest_before;
  const uint8_t* at = blocks_[low].at;
  for (uint32_t ordinal = low * kBlock; ordinal < end; ++ordinal) {
    const Record record = RecordAt(at);
    highest = std::max(highest, highest + record.id_step);
    if (highest == id) return ordinal;
    if (highest > id) return std::nullopt;
    at = record.end;
  }
  return std::nullopt;
}

}  // namespace mi::catalog
