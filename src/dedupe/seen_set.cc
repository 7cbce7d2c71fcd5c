#include "dedupe/seen_set.h"

#include <algorithm>
#include <cassert>

namespace mi::dedupe {

using model::Fingerprint;
using Verdict = LineTable::Verdict;

// The two clocks as they are during one call. A known entry's clock moves only through Entry::Advance, which
// compares and exchanges the word: if many threads see the same stale clock, exactly one of them moves it and gets
// `true`. So an activity is published once per window, and a confirmation is asked for once per confirm_after, without
// a lock. If the process ends after the exchange and before it has acted on the answer, that activity may be lost until
// the next window; it is only a hint.
struct SeenSet::Now {
  ActivityWindows windows;
  ConfirmClock confirm;

  // True for the one caller whose sighting is the first in the entry's window.
  bool TouchActivity(const Entry& entry) const {
    const uint8_t window = windows.ClockOf(entry.key);
    return entry.Advance(&Line::active, window, [&](uint8_t clock) { return Age(window, clock) != 0; });
  }

  // True for the one caller who is told to ask the shared tier.
  bool TakeConfirm(const Entry& entry) const {
    return entry.Advance(&Line::confirmed, confirm.now(), [&](uint8_t clock) { return confirm.Due(entry.key, clock); });
  }

  void MarkConfirmed(const Entry& entry) const {
    entry.Advance(&Line::confirmed, confirm.now(), [&](uint8_t clock) { return clock != confirm.now(); });
  }

  Seen Answer(const Entry& entry, Touch touch) const {
    if (!entry) return Seen::kUnknown;
    if (touch == Touch::kActive && TouchActivity(entry)) return Seen::kKnownNewWindow;
    return confirm.enabled() && TakeConfirm(entry) ? Seen::kKnownConfirm : Seen::kKnown;
  }

  // The activity clock of an entry that was last active `windows_ago` windows before now.
  uint8_t ClockOfAgeNow(uint64_t key, int64_t windows_ago) const {
    const auto age = static_cast<uint32_t>(std::clamp<int64_t>(windows_ago, 0, kGreatestAge));
    return ClockOfAge(windows.ClockOf(key), age);
  }
};

namespace {

constexpr uint32_t kMaxIntervalS = 1U << 30;

// A one-byte clock that nobody moves would wrap around and look young again. The sweep holds it at this age.
void KeepOld(const Entry& entry, ClockWord word, uint8_t now) {
  constexpr uint32_t kOld = kOldestAge / 2;
  entry.Advance(word, ClockOfAge(now, kOld), [&](uint8_t clock) { return Age(now, clock) > kOld; });
}

}  // namespace

SeenSet::SeenSet(const SeenOptions& options, const Clock& clock)
    : clock_(clock),
      interval_s_(static_cast<uint32_t>(std::clamp<uint64_t>(options.activity_interval_s, 1, kMaxIntervalS))),
      idle_expire_s_(options.idle_expire_s),
      confirm_after_s_(options.confirm_after_s) {
  table_.SetMaxEntries(options.max_series);
}

SeenSet::Now SeenSet::ReadClock() const {
  const int64_t now_s = std::max<int64_t>(0, clock_.NowSeconds());
  return {ActivityWindows(now_s, interval_s_), ConfirmClock(now_s, confirm_after_s_.load(std::memory_order_relaxed))};
}

void SeenSet::Lookup(std::span<const Fingerprint> fingerprints, std::span<const Touch> touches,
                     std::span<Seen> answers) {
  assert(fingerprints.size() == touches.size() && fingerprints.size() == answers.size());
  const Now now = ReadClock();
  if (now.confirm.enabled()) {
    LookupAt<true>(now, fingerprints, touches, answers);
  } else {
    LookupAt<false>(now, fingerprints, touches, answers);
  }
}

// Nearly every entry stands in its home line and needs no clock moved. These are answered there, without a branch that
// depends on the entry. The others take the second way.
template <bool kConfirms>
void SeenSet::LookupAt(const Now& now, std::span<const Fingerprint> fingerprints, std::span<const Touch> touches,
                       std::span<Seen> answers) {
  const auto at_home = [&](size_t index, Line& line, unsigned slot, uint64_t key) {
    answers[index] = Seen::kKnown;
    const bool counted = line.Clock(&Line::active, slot) == now.windows.ClockOf(key);
    const bool due = kConfirms && now.confirm.Due(key, line.Clock(&Line::confirmed, slot));
    return (counted | (touches[index] == Touch::kStale)) & !due;
  };
  table_.FindEach(fingerprints, at_home,
                  [&](size_t index, const Entry& entry) { answers[index] = now.Answer(entry, touches[index]); });
}

bool SeenSet::Contains(Fingerprint fingerprint) {
  bool contained = false;
  table_.FindEach({&fingerprint, 1}, [&](size_t, const Entry& entry) { contained = static_cast<bool>(entry); });
  return contained;
}

// Inserts or refreshes entries, with the activity clock that active_of(index, key) returns. An older clock than the
// entry's own does not change it.
template <typename ActiveOf>
size_t SeenSet::InsertSeen(std::span<const Fingerprint> fingerprints, const Now& now, ActiveOf active_of) {
  const auto clocks_of = [&](size_t index, uint64_t key) {
    return LineTable::Clocks{.active = active_of(index, key), .confirmed = now.confirm.now()};
  };
  const size_t inside = table_.InsertEach(fingerprints, clocks_of, [&](size_t index, const Entry& entry) {
    const uint8_t window = now.windows.ClockOf(entry.key);
    const uint8_t active = active_of(index, entry.key);
    entry.Advance(&Line::active, active, [&](uint8_t clock) { return Age(window, clock) > Age(window, active); });
    now.MarkConfirmed(entry);
  });
  refused_inserts_ += fingerprints.size() - inside;
  return inside;
}

size_t SeenSet::Insert(std::span<const Fingerprint> fingerprints) {
  const Now now = ReadClock();
  return InsertSeen(fingerprints, now, [&](size_t, uint64_t key) { return now.windows.ClockOf(key); });
}

size_t SeenSet::Insert(Fingerprint fingerprint, int64_t last_seen_ms) {
  const Now now = ReadClock();
  const ActivityWindows then(std::max<int64_t>(0, last_seen_ms / 1000), interval_s_);
  return InsertSeen({&fingerprint, 1}, now, [&](size_t, uint64_t key) {
    return now.ClockOfAgeNow(key, now.windows.NumberOf(key) - then.NumberOf(key));
  });
}

void SeenSet::Forget(std::span<const Fingerprint> fingerprints) {
  if (fingerprints.empty()) return;
  table_.Remove(fingerprints);
  for (size_t shard = 0; shard < kShards; ++shard) {
    aliases_.Visit(shard, [](const Entry&) { return Verdict::kDrop; });
  }
}

void SeenSet::Confirm(std::span<const Fingerprint> fingerprints) {
  const Now now = ReadClock();
  table_.FindEach(fingerprints, [&](size_t, const Entry& entry) {
    if (entry) now.MarkConfirmed(entry);
  });
}

void SeenSet::LookupAliases(std::span<const Fingerprint> aliases, std::span<Seen> answers) {
  assert(aliases.size() == answers.size());
  const Now now = ReadClock();
  const auto answer = [&](uint8_t clock, uint64_t key) {
    return clock == now.windows.ClockOf(key) ? Seen::kKnown : Seen::kUnknown;
  };
  const auto at_home = [&](size_t index, Line& line, unsigned slot, uint64_t key) {
    answers[index] = answer(line.Clock(&Line::active, slot), key);
    return true;
  };
  aliases_.FindEach(aliases, at_home, [&](size_t index, const Entry& entry) {
    answers[index] = entry ? answer(entry.Clock(&Line::active), entry.key) : Seen::kUnknown;
  });
}

void SeenSet::InsertAliases(std::span<const Fingerprint> aliases) {
  const Now now = ReadClock();
  aliases_.SetMaxEntries(table_.slots() / 4);
  const auto clocks_of = [&](size_t, uint64_t key) {
    return LineTable::Clocks{.active = now.windows.ClockOf(key), .confirmed = now.confirm.now()};
  };
  aliases_.InsertEach(aliases, clocks_of, [&](size_t, const Entry& entry) { now.TouchActivity(entry); });
}

// Visits shard after shard, each under its own lock and page by page: O(all slots) in total, but no other call waits
// longer than for a page or a slice of a copy. One-byte clocks make the sweep necessary for correctness, not only for
// memory: a clock that is not moved for more than kOldestAge units looks young again. So the sweep drops an entry, or
// holds its clock (KeepOld), before. For the activity clock, the configuration bounds cleanup_interval accordingly.
// Readers that found an entry just before it is dropped answer as if they had come earlier (Entry::Advance checks the
// key again).
void SeenSet::Sweep() {
  for (size_t shard = 0; shard < kShards; ++shard) {
    SweepSeries(shard);
    SweepAliases(shard);
    table_.Shrink(shard);
    aliases_.Shrink(shard);
  }
  table_.Collect();
  aliases_.Collect();
}

// The age in windows from which an entry is idle; 0: never. An entry was last active somewhere in its window, so one
// window is added.
uint32_t SeenSet::IdleAge() const {
  const uint64_t expire_s = idle_expire_s_;
  if (expire_s == 0) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>((expire_s - 1) / interval_s_ + 2, kGreatestAge));
}

void SeenSet::SweepSeries(size_t shard) {
  const Now now = ReadClock();
  const uint32_t idle_age = IdleAge();
  table_.Visit(shard, [&](const Entry& entry) {
    const uint8_t window = now.windows.ClockOf(entry.key);
    if (idle_age != 0 && Age(window, entry.Clock(&Line::active)) >= idle_age) return Verdict::kDrop;
    if (idle_age == 0) KeepOld(entry, &Line::active, window);
    KeepOld(entry, &Line::confirmed, now.confirm.now());
    return Verdict::kKeep;
  });
}

void SeenSet::SweepAliases(size_t shard) {
  const Now now = ReadClock();
  aliases_.Visit(shard, [&](const Entry& entry) {
    const bool current = Age(now.windows.ClockOf(entry.key), entry.Clock(&Line::active)) == 0;
    return current ? Verdict::kKeep : Verdict::kDrop;
  });
}

void SeenSet::Reconfigure(const SeenOptions& options) {
  table_.SetMaxEntries(options.max_series);
  idle_expire_s_ = options.idle_expire_s;
  const uint64_t before = confirm_after_s_.exchange(options.confirm_after_s);
  if (ConfirmClock::UnitOf(before) == ConfirmClock::UnitOf(options.confirm_after_s)) return;
  // The stored clocks have the old unit and mean nothing now. So every entry counts as confirmed now; the jitter
  // spreads the next look-ups in Redis.
  const Now now = ReadClock();
  for (size_t shard = 0; shard < kShards; ++shard) {
    table_.Visit(shard, [&](const Entry& entry) {
      now.MarkConfirmed(entry);
      return Verdict::kKeep;
    });
  }
}

SeenSet::Stats SeenSet::stats() const {
  return {.entries = table_.entries(),
          .alias_entries = aliases_.entries(),
          .bytes = table_.bytes() + aliases_.bytes(),
          .refused_inserts = refused_inserts_};
}

SeenEntries SeenSet::CopyShard(size_t shard) {
  SeenEntries copy;
  copy.at_s = clock_.NowSeconds();
  const auto copy_entry = [&](const Entry& entry) {
    copy.keys.push_back(entry.key);
    copy.active.push_back(entry.Clock(&Line::active));
    return Verdict::kKeep;
  };
  table_.Visit(shard, copy_entry, [&] {
    copy.keys.clear();
    copy.active.clear();
  });
  return copy;
}

// A stored clock is relative to the time of its copy. So its age then is added to the windows that have passed since,
// and the sum is stored as an age before now, at most kGreatestAge. The confirmed clocks are not stored: entries of a
// snapshot count as confirmed now. The keys come page by page, so a page may be full while the shard is nearly
// empty. Reserve makes room for all of them first, and a full page is then not taken for keys that were made to
// collide.
void SeenSet::FillShard(size_t shard, const SeenEntries& entries) {
  assert(entries.keys.size() == entries.active.size());
  const Now now = ReadClock();
  const ActivityWindows then(entries.at_s, interval_s_);
  std::vector<Fingerprint> series;
  series.reserve(entries.keys.size());
  for (const uint64_t key : entries.keys) series.push_back(LineTable::Recall(shard, key));
  table_.Reserve(shard, series.size());
  InsertSeen(series, now, [&](size_t index, uint64_t key) {
    const int64_t passed = now.windows.NumberOf(key) - then.NumberOf(key);
    return now.ClockOfAgeNow(key, passed + Age(then.ClockOf(key), entries.active[index]));
  });
  table_.Reserve(shard, 0);
}

}  // namespace mi::dedupe
