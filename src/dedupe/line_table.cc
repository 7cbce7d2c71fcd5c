#include "dedupe/line_table.h"

#include <cmath>

namespace mi::dedupe {

namespace {

// Lines copied with each insert into a growing shard, and at a time where nobody inserts: about a microsecond, and
// about a tenth of a millisecond of work. Any number above 1 is done long before the next generation is full.
constexpr size_t kLinesAnInsert = 8;
constexpr size_t kLinesASlice = 1024;

// Sizes form a ladder of its own for each shard: one page, 1.4^(index / kShards), and so on by factors of 1.4.
size_t PagesAbove(size_t shard, size_t pages) {
  if (pages == 0) return 1;
  double step = std::pow(LineTable::kGrowth, static_cast<double>(shard) / LineTable::kShards);
  while (std::ceil(step) <= static_cast<double>(pages)) step *= LineTable::kGrowth;
  return static_cast<size_t>(std::ceil(step));
}

size_t PagesFor(size_t shard, uint64_t entries) {
  const double full = static_cast<double>(entries) / (LineTable::kFull * kPageSlots);
  return PagesAbove(shard, static_cast<size_t>(std::max(0.0, std::ceil(full) - 1)));
}

}  // namespace

LineTable::LineTable() {
  for (size_t index = 0; index < kShards; ++index) {
    Shard& shard = shards_[index];
    const MutexLock lock(shard.mutex);
    shard.index = index;
    shard.current = Generation::Create(1, Generation::Pages::kSmall);
    if (shard.current == nullptr) throw std::bad_alloc();
    directory_[index] = shard.current.get();
  }
  pages_ = kShards;
}

LineTable::~LineTable() = default;

Entry LineTable::FindLocked(Shard& shard, uint64_t key) {
  const Entry entry = shard.current->Find(key);
  return entry || shard.next == nullptr ? entry : shard.next->Find(key);
}

Entry LineTable::Find(const Probe& probe, uint64_t key) {
  Entry entry = probe.generation->FindFrom(probe.home, key);
  for (Generation* generation = probe.generation; !entry;) {
    generation = generation->next.load(std::memory_order_seq_cst);
    if (generation == nullptr) break;
    entry = generation->Find(key);
  }
  return entry;
}

bool LineTable::InsertNew(Shard& shard, uint64_t key, Clocks clocks) {
  if (!TakeEntry()) return false;
  if (shard.next == nullptr &&
      static_cast<double>(shard.entries) >= kFull * static_cast<double>(shard.current->slots())) {
    StartCopy(shard, PagesAbove(shard.index, shard.current->pages()));
  }
  Entry placed = (shard.next != nullptr ? shard.next : shard.current)->Place(key, clocks.active, clocks.confirmed);
  // A page of its shard's may fill up before the others; growing does not help against keys that are made to meet.
  if (!placed && shard.next == nullptr && std::max(shard.entries, shard.reserved) * 2 > shard.current->slots() &&
      StartCopy(shard, PagesAbove(shard.index, shard.current->pages()))) {
    placed = shard.next->Place(key, clocks.active, clocks.confirmed);
  }
  if (shard.next != nullptr) CopySlice(shard, kLinesAnInsert);
  if (!placed) {
    --entries_;
    return false;
  }
  ++shard.entries;
  return true;
}

bool LineTable::TakeEntry() {
  const uint64_t max = max_entries_.load(std::memory_order_relaxed);
  if (entries_.fetch_add(1, std::memory_order_relaxed) < max || max == 0) return true;
  --entries_;
  return false;
}

bool LineTable::StartCopy(Shard& shard, size_t pages, Generation::Pages kind) {
  auto next = Generation::Create(pages, kind);
  if (next == nullptr) return false;
  pages_ += pages;
  shard.next = std::move(next);
  shard.copied = 0;
  shard.current->next.store(shard.next.get(), std::memory_order_seq_cst);
  return true;
}

void LineTable::CopySlice(Shard& shard, size_t lines) {
  const size_t end = std::min(shard.copied + lines, shard.current->line_count());
  for (; shard.copied < end; ++shard.copied) {
    if (const size_t lost = shard.current->CopyLine(shard.copied); lost != 0) {
      shard.entries -= lost;
      entries_ -= lost;
    }
  }
  if (shard.copied < shard.current->line_count()) return;
  directory_[shard.index].store(shard.next.get(), std::memory_order_seq_cst);
  Retire(std::exchange(shard.current, std::move(shard.next)));
}

void LineTable::FinishCopy(Shard& shard) {
  while (true) {
    const MutexLock lock(shard.mutex);
    if (shard.next == nullptr) return;
    CopySlice(shard, kLinesASlice);
  }
}

void LineTable::Visit(size_t shard_index, const std::function<Verdict(const Entry&)>& visit,
                      const std::function<void()>& restarted) {
  Shard& shard = shards_[shard_index];
  const Generation* visited = nullptr;
  for (size_t page = 0;;) {
    FinishCopy(shard);
    const MutexLock lock(shard.mutex);
    if (shard.next != nullptr) continue;
    if (visited != shard.current.get()) {
      if (visited != nullptr) restarted();
      visited = shard.current.get();
      page = 0;
    }
    if (page == shard.current->pages()) return;
    VisitPage(shard, page++, visit);
  }
}

void LineTable::VisitPage(Shard& shard, size_t page, const std::function<Verdict(const Entry&)>& visit) {
  bool dropped = false;
  Line* const first = shard.current->lines() + page * kPageLines;
  for (Line* line = first; line != first + kPageLines; ++line) {
    for (unsigned slot = 0; slot < Line::kSlots; ++slot) {
      const uint64_t key = line->Key(slot);
      if (key == 0 || visit({shard.current.get(), line, slot, key}) == Verdict::kKeep) continue;
      Generation::Remove(*line, slot);
      --shard.entries;
      --entries_;
      dropped = true;
    }
  }
  if (dropped) shard.current->RepairOverflow(page);
}

void LineTable::Shrink(size_t index) {
  Shard& shard = shards_[index];
  {
    const MutexLock lock(shard.mutex);
    const size_t pages = PagesFor(index, shard.entries + shard.entries / 8);
    if (shard.next != nullptr || pages * 2 > shard.current->pages() || !StartCopy(shard, pages)) return;
  }
  FinishCopy(shard);
}

void LineTable::Reserve(size_t index, size_t entries) {
  Shard& shard = shards_[index];
  const MutexLock lock(shard.mutex);
  // A little more room than growing leaves: pages fill unevenly, and here each is filled at once.
  const size_t pages = PagesFor(index, entries + entries / 16);
  shard.reserved = entries;
  if (shard.next != nullptr || shard.entries != 0 || pages <= shard.current->pages()) return;
  if (StartCopy(shard, pages, Generation::Pages::kHuge)) CopySlice(shard, shard.current->line_count());
}

void LineTable::Retire(std::unique_ptr<Generation> generation) {
  const MutexLock lock(retired_mutex_);
  retired_.push_back({std::move(generation), pins_.Current()});
  retired_count_ = retired_.size();
}

void LineTable::Collect() {
  if (retired_count_.load(std::memory_order_relaxed) == 0) return;
  std::vector<Retired> gone;  // outlives the lock: giving memory back takes a while
  const MutexLock lock(retired_mutex_);
  for (size_t at = 0; at < retired_.size();) {
    if (!retired_[at].readers.Gone()) {
      ++at;
      continue;
    }
    pages_ -= retired_[at].generation->pages();
    gone.push_back(std::exchange(retired_[at], std::move(retired_.back())));
    retired_.pop_back();
  }
  retired_count_ = retired_.size();
}

}  // namespace mi::dedupe
