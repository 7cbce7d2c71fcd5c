#include "catalog/postings.h"

#include <cassert>
#include <cstring>

namespace mi::catalog {
namespace {

constexpr uint8_t kHasOlder = 1;
constexpr uint8_t kIsBits = 2;

// Pair::tail is a window, and the pair's newest entry (index + 1) in the array of that window.
uint64_t PackTail(uint32_t window, uint32_t entry) { return uint64_t{window} << 32 | entry; }
uint32_t TailWindow(uint64_t packed) { return static_cast<uint32_t>(packed >> 32); }
uint32_t TailNewest(uint64_t packed) { return static_cast<uint32_t>(packed); }

void Append(uint64_t value, std::vector<uint8_t>& out) {
  uint8_t bytes[kMaxVarint];
  out.insert(out.end(), bytes, PutVarint(value, bytes));
}

// Example: 5 6 7 8 20 becomes (gap 5, run of 4), (gap 11, single), which is 3 bytes. The gap 11 counts from 9, the
// first ordinal behind the run. Two neighbours are no run: two singles take 2 bytes as well. Takes one pass.
void EncodeGaps(std::span<const uint16_t> values, std::vector<uint8_t>& out) {
  out.clear();
  uint32_t next = 0;
  for (size_t i = 0; i < values.size();) {
    uint32_t run = 1;
    while (i + run < values.size() && values[i + run] == values[i] + run) ++run;
    const uint32_t gap = values[i] - next;
    if (run >= kShortestRun) {
      Append(uint64_t{gap} << 1 | 1, out);
      Append(run - kShortestRun, out);
    } else {
      run = 1;
      Append(uint64_t{gap} << 1, out);
    }
    next = values[i] + run;
    i += run;
  }
}

}  // namespace

PostingNode PostingNode::At(const uint8_t* at) {
  PostingNode node;
  const uint8_t flags = *at++;
  if ((flags & kHasOlder) != 0) {
    std::memcpy(&node.older, at, sizeof(node.older));
    at += sizeof(node.older);
  }
  node.window = static_cast<uint32_t>(TakeVarint(at));
  node.before = static_cast<uint32_t>(TakeVarint(at));
  node.count = static_cast<uint32_t>(TakeVarint(at));
  node.is_bits = (flags & kIsBits) != 0;
  node.payload = at;
  return node;
}

void PostingNode::AddTo(uint64_t* window_words) const {
  if (is_bits) {
    for (uint32_t i = 0; i < kWindowWords; ++i) window_words[i] |= Word(i);
    return;
  }
  ForEachRun([&](uint32_t first, uint32_t run) {
    if (run == 1) {
      window_words[first / 64] |= uint64_t{1} << first % 64;
    } else {
      SetBits(window_words, first, run);
    }
    return true;
  });
}

// A view whose own window is w meets a pair in one of these states. The writer takes each pair from left to right.
//
//   window in Pair::tail    older than w    w               w                  newer than w
//   Pair::sealed            no node of w    no node of w    a node of w        a node of w
//   what the view reads     nothing of w    the entries     only the entries   the node, cut (VisibleBits)
//
// So every series is read once. Entries that are newer than the view are skipped here, and a node is cut at series_.
// Nodes of newer windows are ignored. If the tail was older than w when it was loaded, the view has no series of w; a
// node of w that appears meanwhile has only newer ones, and the cut leaves none.
//
// The order of the two loads matters. The writer seals a window before it stores a later window in a pair's tail. So a
// reader that finds the later window in the tail also finds the sealed node of its own window. Entries and nodes never
// change, and live as long as the view's array and the storage.
PostingsView::Place PostingsView::Find(const Pair& pair) const {
  const uint64_t tail = pair.tail.load(std::memory_order_acquire);
  const bool is_ours = TailNewest(tail) != 0 && TailWindow(tail) == window();
  uint32_t entry = is_ours ? TailNewest(tail) : 0;
  while (entry != 0 && OrdinalOf((*tail_)[entry - 1]) >= series_) entry = (*tail_)[entry - 1].older;
  return {.newest_entry = entry,
          .window_may_be_sealed = !is_ours,
          .newest_node = pair.sealed.load(std::memory_order_acquire)};
}

WindowBits PostingsView::VisibleBits(const PostingNode& node) const {
  WindowBits bits{};
  node.AddTo(bits.data());
  WindowBits visible{};
  SetBits(visible.data(), 0, series_ % kWindow);
  for (uint32_t i = 0; i < kWindowWords; ++i) bits[i] &= visible[i];
  return bits;
}

// An entry and a node both say how many series there are up to them, so nothing is walked.
uint64_t PostingsView::Count(const Pair& pair) const {
  const Place place = Find(pair);
  uint64_t count = place.newest_entry == 0 ? 0 : (*tail_)[place.newest_entry - 1].count;
  ForEachNode(place, [&](const PostingNode& node) {
    count += node.before + node.count;
    return false;
  });
  return count;
}

void PostingsView::AddTo(const Pair& pair, SetBuilder& out) const {
  const Place place = Find(pair);
  for (uint32_t i = place.newest_entry; i != 0; i = (*tail_)[i - 1].older) out.Add(OrdinalOf((*tail_)[i - 1]));
  ForEachNode(place, [&](const PostingNode& node) {
    node.AddTo(out.Window(node.window));
    return true;
  });
}

// Links a new entry before the pair's newest one. The release store of Pair::tail publishes the entry: a reader that
// finds its index also finds its fields. Costs 8 bytes and one store per pair, whatever the length of the list.
void Postings::Add(Dictionary& dictionary, Ordinal ordinal, std::span<const PairId> pairs) {
  assert(ordinal == size_);
  const uint32_t window = ordinal / kWindow;
  for (const PairId id : pairs) {
    Pair& pair = dictionary.pair(id);
    const uint64_t packed = pair.tail.load(std::memory_order_relaxed);
    const uint32_t newest = TailWindow(packed) == window ? TailNewest(packed) : 0;
    if (newest == 0) touched_.push_back(id);
    TailEntry& entry = tail_->Append();
    entry.older = newest;
    entry.in_window = static_cast<uint16_t>(ordinal % kWindow);
    entry.count = static_cast<uint16_t>(newest == 0 ? 1 : (*tail_)[newest - 1].count + 1);
    pair.tail.store(PackTail(window, static_cast<uint32_t>(tail_->size())), std::memory_order_release);
  }
  size_ = ordinal + 1;
  if (size_ % kWindow == 0) Seal(dictionary);
}

// Turns the entries into nodes and begins a new array. Readers go on meanwhile: a view that was made in this window
// holds the old array, and each Pair::sealed changes by one release store, when the node is complete. Only pairs that
// have entries are visited, so the cost depends on the window's series and their labels, not on the number of pairs.
void Postings::Seal(Dictionary& dictionary) {
  const uint32_t window = size_ / kWindow - 1;
  for (const PairId id : touched_) SealPair(dictionary.pair(id), window);
  touched_.clear();
  tail_ = std::make_shared<Tail>();
}

void Postings::SealPair(Pair& pair, uint32_t window) {
  uint32_t entry = TailNewest(pair.tail.load(std::memory_order_relaxed));
  const uint32_t count = (*tail_)[entry - 1].count;
  values_.resize(count);
  for (uint32_t i = count; i > 0; --i) {
    const TailEntry& at = (*tail_)[entry - 1];
    values_[i - 1] = at.in_window;
    entry = at.older;
  }
  EncodeGaps(values_, gaps_);
  const bool is_bits = gaps_.size() > sizeof(WindowBits);

  const uint8_t* older = pair.sealed.load(std::memory_order_relaxed);
  uint32_t before = 0;
  if (older != nullptr) {
    const PostingNode node = PostingNode::At(older);
    before = node.before + node.count;
  }
  const size_t head =
      1 + (older != nullptr ? sizeof(older) : 0) + VarintSize(window) + VarintSize(before) + VarintSize(count);
  uint8_t* const begin = nodes_.Allocate(head + (is_bits ? sizeof(WindowBits) : gaps_.size()));
  uint8_t* at = begin;
  *at++ = static_cast<uint8_t>((older != nullptr ? kHasOlder : 0) | (is_bits ? kIsBits : 0));
  if (older != nullptr) {
    std::memcpy(at, &older, sizeof(older));
    at += sizeof(older);
  }
  at = PutVarint(window, at);
  at = PutVarint(before, at);
  at = PutVarint(count, at);
  if (is_bits) {
    WindowBits bits{};
    for (const uint16_t value : values_) bits[value / 64] |= uint64_t{1} << value % 64;
    std::memcpy(at, bits.data(), sizeof(bits));
  } else {
    std::memcpy(at, gaps_.data(), gaps_.size());
  }
  pair.sealed.store(begin, std::memory_order_release);
}

}  // namespace mi::catalog
