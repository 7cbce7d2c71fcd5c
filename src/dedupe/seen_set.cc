#include "dedupe/seen_set.h"

#include <algorithm>
#include <array>
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

// The clock of the aliases. Its unit is a hundredth of an activity window, or of confirm_after if that is shorter. An
// alias has one byte that says when it ends:
//
//   unit of the end - unit of now, modulo 256:   1 ... kLongest  it answers  |  the others: it does not
//
// The units count modulo 255 (ClockOfUnit). So the difference is one too large if the count turned in between, and
// never too small: an alias of n units gives n or n + 1. An alias that ended long ago would look new again after 135
// units, so aliases are believed only while the last sweep is at most kLongest units ago, and a sweep that comes later
// drops all. The end is rounded down: an alias never answers longer than the fingerprint would answer kKnown.
class SeenSet::AliasClock {
 public:
  // `longest_s`: the longest life of an alias.
  AliasClock(int64_t now_s, int64_t longest_s)
      : unit_s_((longest_s + kUnits - 1) / kUnits), number_(now_s / unit_s_), now_(ClockOfUnit(number_)) {}

  int64_t number() const { return number_; }
  uint8_t now() const { return now_; }
  bool Answers(uint8_t end) const { return static_cast<uint8_t>(end - now_ - 1) < kLongest; }
  bool EndedRecently(uint8_t end) const { return static_cast<uint8_t>(now_ - end) <= kKept; }
  // The clock of an alias that ends at this time. Ends now if it would not last for a unit.
  uint8_t EndAt(int64_t time_s) const {
    const int64_t units = std::clamp<int64_t>(time_s / unit_s_ - number_, 0, kUnits);
    return ClockOfUnit(number_ + units);
  }
  // Whether the aliases were swept recently enough to be believed.
  bool Believes(int64_t swept) const { return number_ >= swept && number_ - swept <= kLongest; }

 private:
  static constexpr int64_t kUnits = 100;
  static constexpr uint8_t kLongest = kUnits + 1;
  static constexpr uint8_t kKept = 20;  // by a sweep: most of them are renewed in their place by the next sample

  int64_t unit_s_;
  int64_t number_;
  uint8_t now_;
};

namespace {

constexpr size_t kAliasesAtOnce = 64;
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
      confirm_after_s_(options.confirm_after_s),
      aliases_swept_(ReadAliasClock().number()) {
  table_.SetMaxEntries(options.max_series);
}

SeenSet::AliasClock SeenSet::ReadAliasClock() const {
  const uint64_t confirm_after_s = confirm_after_s_.load(std::memory_order_relaxed);
  const uint64_t longest_s = confirm_after_s == 0 ? interval_s_ : std::min<uint64_t>(interval_s_, confirm_after_s);
  return {std::max<int64_t>(0, clock_.NowSeconds()), static_cast<int64_t>(longest_s)};
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
  DropAliases();
}

void SeenSet::Confirm(std::span<const Fingerprint> fingerprints) {
  const Now now = ReadClock();
  table_.FindEach(fingerprints, [&](size_t, const Entry& entry) {
    if (entry) now.MarkConfirmed(entry);
  });
}

void SeenSet::FindUnknown(std::span<const Fingerprint> aliases, std::vector<uint32_t>& unknown) {
  const AliasClock now = ReadAliasClock();
  const auto add = [&](size_t index) { unknown.push_back(static_cast<uint32_t>(index)); };
  if (!now.Believes(aliases_swept_.load(std::memory_order_relaxed))) {
    for (size_t index = 0; index < aliases.size(); ++index) add(index);
    return;
  }
  const auto at_home = [&](size_t, Line& line, unsigned slot, uint64_t) {
    return now.Answers(line.Clock(&Line::active, slot));
  };
  aliases_.FindEach(aliases, at_home, [&](size_t index, const Entry& entry) {
    if (!entry || !now.Answers(entry.Clock(&Line::active))) add(index);
  });
}

// In pieces that fit on the stack, so that nothing is allocated.
void SeenSet::RememberAliases(std::span<const Alias> aliases) {
  aliases_.SetMaxEntries(2 * table_.slots());
  while (!aliases.empty()) {
    const size_t count = std::min(aliases.size(), kAliasesAtOnce);
    RememberSome(aliases.first(count));
    aliases = aliases.subspan(count);
  }
}

// An alias must not outlive its series: Forget removes the fingerprints first and the aliases then, so the series are
// looked up again after their aliases were inserted. Either Forget comes later and removes the alias, or this sees that
// the series has gone.
void SeenSet::RememberSome(std::span<const Alias> aliases) {
  const Now now = ReadClock();
  const AliasClock clock = ReadAliasClock();
  std::array<Fingerprint, kAliasesAtOnce> keys;
  std::array<Fingerprint, kAliasesAtOnce> series;
  std::array<uint8_t, kAliasesAtOnce> ends;
  for (size_t i = 0; i < aliases.size(); ++i) series[i] = aliases[i].series;
  ends.fill(clock.now());
  table_.FindEach(std::span(series).first(aliases.size()), [&](size_t index, const Entry& entry) {
    if (!entry) return;
    int64_t end_s = now.windows.EndOf(entry.key);
    if (now.confirm.enabled()) end_s = std::min(end_s, now.confirm.DueAt(entry.key, entry.Clock(&Line::confirmed)));
    ends[index] = clock.EndAt(end_s);
  });
  size_t count = 0;  // of those that are in the table and do not end at once
  for (size_t i = 0; i < aliases.size(); ++i) {
    if (ends[i] == clock.now()) continue;
    keys[count] = aliases[i].alias;
    series[count] = aliases[i].series;
    ends[count] = ends[i];
    ++count;
  }
  const auto clocks_of = [&](size_t index, uint64_t) {
    return LineTable::Clocks{.active = ends[index], .confirmed = kPendingClock};
  };
  aliases_.InsertEach(std::span(keys).first(count), clocks_of, [&](size_t index, const Entry& entry) {
    entry.Advance(&Line::active, ends[index], [&](uint8_t end) { return end != ends[index]; });
  });
  table_.FindEach(std::span(series).first(count), [&](size_t index, const Entry& entry) {
    if (!entry) aliases_.Remove({&keys[index], 1});
  });
}

// Visits shard after shard, each under its own lock and page by page: O(all slots) in total, but no other call waits
// longer than for a page or a slice of a copy. One-byte clocks make the sweep necessary for correctness, not only for
// memory: a clock that is not moved for more than kOldestAge units looks young again. So the sweep drops an entry, or
// holds its clock (KeepOld), before. For the activity clock, the configuration bounds cleanup_interval accordingly.
// Readers that found an entry just before it is dropped answer as if they had come earlier (Entry::Advance checks the
// key again).
void SeenSet::Sweep() {
  const AliasClock begun = ReadAliasClock();
  const bool in_time = begun.Believes(aliases_swept_);
  for (size_t shard = 0; shard < kShards; ++shard) {
    SweepSeries(shard);
    SweepAliases(shard, in_time ? Verdict::kKeep : Verdict::kDrop);
    table_.Shrink(shard);
    aliases_.Shrink(shard);
  }
  aliases_swept_ = begun.number();
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

// `current`: what becomes of aliases that answer, or have just ended.
void SeenSet::SweepAliases(size_t shard, Verdict current) {
  const AliasClock now = ReadAliasClock();
  aliases_.Visit(shard, [&](const Entry& entry) {
    const uint8_t end = entry.Clock(&Line::active);
    return now.Answers(end) || now.EndedRecently(end) ? current : Verdict::kDrop;
  });
}

void SeenSet::DropAliases() {
  for (size_t shard = 0; shard < kShards; ++shard) SweepAliases(shard, Verdict::kDrop);
}

void SeenSet::Reconfigure(const SeenOptions& options) {
  table_.SetMaxEntries(options.max_series);
  idle_expire_s_ = options.idle_expire_s;
  const uint64_t before = confirm_after_s_.exchange(options.confirm_after_s);
  if (before != options.confirm_after_s) {  // the aliases end when a confirmation was due, and have the old unit
    DropAliases();
    aliases_swept_ = ReadAliasClock().number();
  }
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
