#include "dedupe/line_table.h"

#include <cmath>

namespace mi::dedupe {

namespace {

// Lines that are copied with each insert into a growing shard: about a microsecond of work. Any number above 1
// completes the copy long before the next generation is full.
constexpr size_t kLinesPerInsert = 8;
// Lines that are copied at a time, under the lock, to finish a growth: about 0.1 ms of work.
constexpr size_t kLinesPerSlice = 1024;

// The next size of a shard, in pages. The sizes of shard i are 1.4^(i / kShards), 1.4^(i / kShards + 1), and so on, so
// that shards with the same number of entries grow at different times.
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
    shard.current = std::make_unique<Generation>(1, Generation::Pages::kSmall);
    directory_[index] = shard.current.get();
  }
  pages_ = kShards;
}

LineTable::~LineTable() = default;

Entry LineTable::FindLocked(Shard& shard, uint64_t key) {
  const Entry entry = shard.current->Find(key);
  return entry || shard.next == nullptr ? entry : shard.next->Find(key);
}

Entry LineTable::Find(model::Fingerprint fingerprint) const {
  const uint64_t key = KeyOf(fingerprint);
  Generation* generation = directory_[ShardOf(fingerprint)].load(std::memory_order_seq_cst);
  Entry entry;
  while (!entry && generation != nullptr) {
    entry = generation->Find(key);
    generation = generation->next.load(std::memory_order_seq_cst);
  }
  return entry;
}

// Inserts a key that is in neither generation. While a shard grows, new keys go only to `next`, so CopySlice never
// meets them. Each insert also copies a slice, so the cost of a growth is spread over the inserts and no insert waits
// for the whole copy.
//
//   lines of `current`:  frozen, also in `next` | not copied yet      `copied` is the border
//   lookup order:        `current` first, then `next`
//
// A key is refused only if max_entries is reached, or if its page is full and a growth does not help or is under way
// already. Amortized cost: one placement, and kLinesPerInsert lines while the shard grows.
bool LineTable::InsertNew(Shard& shard, uint64_t key, Clocks clocks) {
  if (!TakeEntry()) return false;
  if (shard.next == nullptr &&
      static_cast<double>(shard.entries) >= kFull * static_cast<double>(shard.current->slots())) {
    StartCopy(shard, PagesAbove(shard.index, shard.current->pages()));
  }
  Entry placed = (shard.next != nullptr ? shard.next : shard.current)->Place(key, clocks.active, clocks.confirmed);
  // One page may be full before the others, and then the shard grows early. But not while it is less than half full:
  // then the keys were made to collide, and growing does not help.
  if (!placed && shard.next == nullptr && std::max(shard.entries, shard.reserved) * 2 > shard.current->slots()) {
    StartCopy(shard, PagesAbove(shard.index, shard.current->pages()));
    placed = shard.next->Place(key, clocks.active, clocks.confirmed);
  }
  if (shard.next != nullptr) CopySlice(shard, kLinesPerInsert);
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

// How readers follow a growth without a lock. Three steps are visible to them, in this order:
//   1. StartCopy links `current->next`. A reader that does not find a key in `current` also looks in `next`.
//   2. CopyLine fills `next` and freezes the lines of `current`. Nothing is removed from `current`, so a key
//      that was in the table before stays visible there.
//   3. CopySlice stores `next` in the directory. From then on, readers begin there.
// A reader that loaded the old pointer before step 3 holds a pin. It can use the old generation until it releases the
// pin, because Retire only puts that generation in a list. Both stores are sequentially consistent, as reader_pins.h
// requires. While a shard grows it has both generations, about 2.4 times its memory.
void LineTable::StartCopy(Shard& shard, size_t pages, Generation::Pages kind) {
  shard.next = std::make_unique<Generation>(pages, kind);
  pages_ += pages;
  shard.copied = 0;
  shard.current->next.store(shard.next.get(), std::memory_order_seq_cst);
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
    CopySlice(shard, kLinesPerSlice);
  }
}

// Visits page after page and releases the lock in between, so that an insert waits for one page (or for a slice of a
// copy that is finished first), not for the shard. A page is visited whole: entries never leave their page, so
// RepairOverflow can then recompute its flags. The order of the keys changes pages when the shard grows. So if
// `current` was replaced between two pages, the visit begins again. It also waits for a copy to finish: an entry must
// not be dropped from `current` while its copy is in `next`.
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

// As in Visit, an entry must not be removed from `current` while its copy is in `next`.
void LineTable::Remove(std::span<const model::Fingerprint> fingerprints) {
  for (const model::Fingerprint fingerprint : fingerprints) {
    Shard& shard = shards_[ShardOf(fingerprint)];
    for (bool grows = true; grows;) {
      FinishCopy(shard);
      const MutexLock lock(shard.mutex);
      grows = shard.next != nullptr;
      if (!grows) RemoveEntry(shard, KeyOf(fingerprint));
    }
  }
}

void LineTable::RemoveEntry(Shard& shard, uint64_t key) {
  const Entry entry = shard.current->Find(key);
  if (!entry) return;
  Generation::Remove(*entry.line, entry.slot);
  --shard.entries;
  --entries_;
  shard.current->RepairOverflow(static_cast<size_t>(entry.line - shard.current->lines()) / kPageLines);
}

void LineTable::Shrink(size_t index) {
  Shard& shard = shards_[index];
  {
    const MutexLock lock(shard.mutex);
    const size_t pages = PagesFor(index, shard.entries + shard.entries / 8);
    if (shard.next != nullptr || pages * 2 > shard.current->pages()) return;
    StartCopy(shard, pages);
  }
  FinishCopy(shard);
}

void LineTable::Reserve(size_t index, size_t entries) {
  Shard& shard = shards_[index];
  const MutexLock lock(shard.mutex);
  // A little more room than growth leaves: pages fill unevenly, and here one page after the other is filled.
  const size_t pages = PagesFor(index, entries + entries / 16);
  shard.reserved = entries;
  if (shard.next != nullptr || shard.entries != 0 || pages <= shard.current->pages()) return;
  StartCopy(shard, pages, Generation::Pages::kHuge);
  CopySlice(shard, shard.current->line_count());
}

// Retire and Collect free memory without a wait. Retire runs under the shard's lock and only notes which pins are held.
// Collect frees what these readers have released since. InsertEach retires under its own pin, so it calls Collect after
// it has released that pin; what is still in use then waits for the next call.
void LineTable::Retire(std::unique_ptr<Generation> generation) {
  const MutexLock lock(retired_mutex_);
  retired_.push_back({std::move(generation), pins_.Current()});
  retired_count_ = retired_.size();
}

void LineTable::Collect() {
  if (retired_count_.load(std::memory_order_relaxed) == 0) return;
  std::vector<Retired> gone;  // destroyed after the lock is released: unmapping takes a while
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
