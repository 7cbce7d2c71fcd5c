// Which series have each pair. Ordinals ascend, so every list is only appended to. A window is 16,384 ordinals.
//
//   Pair::tail ───> entry ──> entry ──> ...      the series in the window that is being filled, newest first
//   Pair::sealed ─> node ──> node ──> ...        one node per full window in which the pair has series, newest first
//
//   entry  an ordinal. All entries of a window are in one array, which the snapshots of the window share.
//   node   gaps and runs in varints, or 2 KB of bits if that is shorter.
// When a window is full, its entries become nodes (it is sealed), and a new array begins.
//
// An append costs the same whatever the size of the lists. Sealing takes a millisecond per 16,384 series.
//
// Threads: one writer. Readers hold a PostingsView, which ignores series that are newer than itself.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/varint.h"
#include "catalog/append_only.h"
#include "catalog/dictionary.h"
#include "catalog/series_set.h"

namespace mi::catalog {

// One series of a pair in the window that is being filled.
struct TailEntry {
  uint32_t older;      // index + 1 in the tail's entries, 0: none
  uint16_t in_window;  // the ordinal within the window
  uint16_t count;      // of the pair's series in this window, up to this one
};
using Tail = StableArray<TailEntry, 8192>;

using WindowBits = std::array<uint64_t, kWindowWords>;

// A decoded node. Its bytes: flags (1: there is an older node, 2: bits), the address of the older node if there is one,
// window, `before` and `count` as varints, then gaps or bits.
struct PostingNode {
  const uint8_t* older = nullptr;
  uint32_t window = 0;
  uint32_t before = 0;  // the pair's series in older nodes
  uint32_t count = 0;
  bool is_bits = false;
  const uint8_t* payload = nullptr;

  static PostingNode At(const uint8_t* at);

  // Calls visit(first, count) for each run of ordinals in the window, ascending. Ends and returns false if it does.
  template <typename Visit>
  bool ForEachRun(Visit visit) const;
  void AddTo(uint64_t* window_words) const;

 private:
  uint64_t Word(uint32_t i) const {
    uint64_t word = 0;
    std::memcpy(&word, payload + i * sizeof(word), sizeof(word));
    return word;
  }
};

// The postings as they were when there were `series` series. A value that shares the tail.
class PostingsView {
 public:
  PostingsView(uint32_t series, std::shared_ptr<const Tail> tail) : series_(series), tail_(std::move(tail)) {}

  uint64_t Count(const Pair& pair) const;
  void AddTo(const Pair& pair, SetBuilder& out) const;
  // Calls visit(first, count) for each run of ordinals, the newest window first. Ends and returns false if it does.
  template <typename Visit>
  bool ForEachRun(const Pair& pair, Visit visit) const {
    return ForEachRun(pair, [](uint32_t) { return true; }, visit);
  }
  // The same in the windows for which is_wanted(window) is true.
  template <typename IsWanted, typename Visit>
  bool ForEachRun(const Pair& pair, IsWanted is_wanted, Visit visit) const;

 private:
  // Where the pair's series are: in the tail if this view's window is not sealed yet, and in nodes.
  struct Place {
    uint32_t newest_entry;  // index + 1 of the newest that this view may see; 0: none
    bool window_may_be_sealed;
    const uint8_t* newest_node;
  };

  uint32_t window() const { return series_ / kWindow; }
  Ordinal OrdinalOf(const TailEntry& entry) const { return window() * kWindow + entry.in_window; }
  Place Find(const Pair& pair) const;
  // Calls visit(node) for each node, the newest first; the node of this view's own window has only what the view may
  // see. Ends and returns false if it does.
  template <typename Visit>
  bool ForEachNode(const Place& place, Visit visit) const;
  // The part that this view may see of its own window, if that was sealed after the view was made.
  WindowBits VisibleBits(const PostingNode& node) const;

  uint32_t series_;
  std::shared_ptr<const Tail> tail_;
};

class Postings {
 public:
  // Requires: ordinals ascend from 0 without gaps, and the pairs of an ordinal are distinct.
  void Add(Dictionary& dictionary, Ordinal ordinal, std::span<const PairId> pairs);
  PostingsView View() const { return {size_, tail_}; }
  size_t bytes() const { return nodes_.bytes() + tail_->bytes() + touched_.capacity() * sizeof(PairId); }

 private:
  void Seal(Dictionary& dictionary);
  void SealPair(Pair& pair, uint32_t window);

  uint32_t size_ = 0;
  ByteArena nodes_;
  std::shared_ptr<Tail> tail_ = std::make_shared<Tail>();  // shared with the snapshots of its window
  std::vector<PairId> touched_;                            // pairs with entries in the tail
  std::vector<uint16_t> values_;                           // reused
  std::vector<uint8_t> gaps_;                              // reused
};

// Gaps and runs: the varint (gap << 1) for a single ordinal, or (gap << 1 | 1) and (length - kShortestRun) for a run.
// A gap is counted from the end of the run before it.
inline constexpr uint32_t kShortestRun = 3;

template <typename Visit>
bool PostingNode::ForEachRun(Visit visit) const {
  if (is_bits) {
    for (uint32_t i = 0; i < kWindowWords; ++i) {
      for (uint64_t word = Word(i); word != 0; word &= word - 1) {
        if (!visit(i * 64 + static_cast<uint32_t>(std::countr_zero(word)), 1U)) return false;
      }
    }
    return true;
  }
  const uint8_t* at = payload;
  uint32_t next = 0;
  for (uint32_t left = count; left > 0;) {
    const uint64_t gap = TakeVarint(at);
    const uint32_t run = (gap & 1) == 0 ? 1 : static_cast<uint32_t>(TakeVarint(at)) + kShortestRun;
    next += static_cast<uint32_t>(gap >> 1);
    if (!visit(next, run)) return false;
    next += run;
    left -= run;
  }
  return true;
}

template <typename Visit>
bool PostingsView::ForEachNode(const Place& place, Visit visit) const {
  for (const uint8_t* at = place.newest_node; at != nullptr;) {
    const PostingNode node = PostingNode::At(at);
    at = node.older;
    if (node.window < window()) {
      if (!visit(node)) return false;
    } else if (node.window == window() && place.window_may_be_sealed && series_ % kWindow != 0) {
      const WindowBits bits = VisibleBits(node);
      PostingNode visible = node;
      visible.count = 0;
      for (const uint64_t word : bits) visible.count += static_cast<uint32_t>(std::popcount(word));
      visible.is_bits = true;
      visible.payload = reinterpret_cast<const uint8_t*>(bits.data());
      if (!visit(visible)) return false;
    }
  }
  return true;
}

template <typename IsWanted, typename Visit>
bool PostingsView::ForEachRun(const Pair& pair, IsWanted is_wanted, Visit visit) const {
  const Place place = Find(pair);
  if (place.newest_entry != 0 && is_wanted(window())) {
    for (uint32_t i = place.newest_entry; i != 0; i = (*tail_)[i - 1].older) {
      if (!visit(OrdinalOf((*tail_)[i - 1]), 1U)) return false;
    }
  }
  return ForEachNode(place, [&](const PostingNode& node) {
    return !is_wanted(node.window) ||
           node.ForEachRun([&](uint32_t first, uint32_t count) { return visit(node.window * kWindow + first, count); });
  });
}

}  // namespace mi::catalog
