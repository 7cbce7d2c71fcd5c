#include "dedupe/seen_set.h"

#include <atomic>
#include <cassert>

#include "dedupe/line_table.h"

namespace mi::dedupe {

namespace {

using model::Fingerprint;
using Verdict = LineTable::Verdict;

constexpr uint32_t kMaxIntervalS = 1U << 30;

// The two clocks of the table as they stand during one call.
struct Now {
  Now(int64_t now_s, uint32_t interval_s, uint64_t confirm_after_s)
      : windows(now_s, interval_s), confirm(now_s, confirm_after_s) {}

  ActivityWindows windows;
  ConfirmClock confirm;
};

// True for the one sighting that is the first in its window.
bool TouchActivity(const Entry& entry, const Now& now) {
  const uint8_t window = now.windows.ClockOf(entry.key);
  return entry.Advance(&Line::active, window, [&](uint8_t clock) { return Age(window, clock) != 0; });
}

bool TakeConfirm(const Entry& entry, const Now& now) {
  return entry.Advance(&Line::confirmed, now.confirm.now(),
                       [&](uint8_t clock) { return now.confirm.Due(entry.key, clock); });
}

void MarkConfirmed(const Entry& entry, const Now& now) {
  const uint8_t to = now.confirm.now();
  entry.Advance(&Line::confirmed, to, [&](uint8_t clock) { return clock != to; });
}

// Holds a clock that gets old, so that it does not come round and look young.
void KeepOld(const Entry& entry, ClockWord word, uint8_t now) {
  constexpr uint32_t kOld = kOldestAge / 2;
  entry.Advance(word, ClockOfAge(now, kOld), [&](uint8_t clock) { return Age(now, clock) > kOld; });
}

Seen Answer(const Entry& entry, Touch touch, const Now& now) {
  if (!entry) return Seen::kUnknown;
  if (touch == Touch::kActive && TouchActivity(entry, now)) return Seen::kKnownNewWindow;
  return now.confirm.enabled() && TakeConfirm(entry, now) ? Seen::kKnownConfirm : Seen::kKnown;
}

class LineSeenSet final : public SeenSet {
 public:
  LineSeenSet(const SeenOptions& options, const Clock& clock)
      : clock_(clock),
        interval_s_(static_cast<uint32_t>(std::clamp<uint64_t>(options.activity_interval_s, 1, kMaxIntervalS))),
        idle_expire_s_(options.idle_expire_s),
        confirm_after_s_(options.confirm_after_s) {
    table_.SetMaxEntries(options.max_series);
  }

  void Lookup(std::span<const Fingerprint> fingerprints, std::span<const Touch> touches,
              std::span<Seen> answers) override {
    assert(fingerprints.size() == touches.size() && fingerprints.size() == answers.size());
    const Now now = ReadClock();
    if (now.confirm.enabled()) {
      LookupAt<true>(now, fingerprints, touches, answers);
    } else {
      LookupAt<false>(now, fingerprints, touches, answers);
    }
  }

  bool Contains(Fingerprint fingerprint) override {
    bool contained = false;
    table_.FindEach({&fingerprint, 1}, [&](size_t, const Entry& entry) { contained = static_cast<bool>(entry); });
    return contained;
  }

  size_t Insert(std::span<const Fingerprint> fingerprints) override {
    const Now now = ReadClock();
    return InsertSeen(fingerprints, now, [&](size_t, uint64_t key) { return now.windows.ClockOf(key); });
  }

  size_t Insert(Fingerprint fingerprint, int64_t last_seen_ms) override {
    const Now now = ReadClock();
    const int64_t last_seen_s = std::max<int64_t>(0, last_seen_ms / 1000);
    const ActivityWindows then(last_seen_s, interval_s_);
    return InsertSeen({&fingerprint, 1}, now, [&](size_t, uint64_t key) {
      return ClockOfAgeNow(key, now.windows.NumberOf(key) - then.NumberOf(key), now);
    });
  }

  void Confirm(std::span<const Fingerprint> fingerprints) override {
    const Now now = ReadClock();
    table_.FindEach(fingerprints, [&](size_t, const Entry& entry) {
      if (entry) MarkConfirmed(entry, now);
    });
  }

  void LookupAliases(std::span<const Fingerprint> aliases, std::span<Seen> answers) override {
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

  void InsertAliases(std::span<const Fingerprint> aliases) override {
    const Now now = ReadClock();
    aliases_.SetMaxEntries(table_.slots() / 4);
    const auto clocks_of = [&](size_t, uint64_t key) {
      return LineTable::Clocks{.active = now.windows.ClockOf(key), .confirmed = now.confirm.now()};
    };
    aliases_.InsertEach(aliases, clocks_of, [&](size_t, const Entry& entry) { TouchActivity(entry, now); });
  }

  void Sweep() override {
    for (size_t shard = 0; shard < LineTable::kShards; ++shard) {
      SweepSeries(shard);
      SweepAliases(shard);
      table_.Shrink(shard);
      aliases_.Shrink(shard);
    }
    table_.Collect();
    aliases_.Collect();
  }

  void Reconfigure(SeenOptions options) override {
    table_.SetMaxEntries(options.max_series);
    idle_expire_s_ = options.idle_expire_s;
    const uint64_t before = confirm_after_s_.exchange(options.confirm_after_s);
    if (ConfirmClock::UnitOf(before) == ConfirmClock::UnitOf(options.confirm_after_s)) return;
    // Clocks of another unit say nothing: all count as confirmed now, and are asked again spread over their jitter.
    const Now now = ReadClock();
    for (size_t shard = 0; shard < LineTable::kShards; ++shard) {
      table_.Visit(
          shard,
          [&](const Entry& entry) {
            MarkConfirmed(entry, now);
            return Verdict::kKeep;
          },
          [] {});
    }
  }

  Stats stats() const override {
    return {.entries = table_.entries(),
            .alias_entries = aliases_.entries(),
            .bytes = table_.bytes() + aliases_.bytes(),
            .refused_inserts = refused_inserts_};
  }

  size_t shards() const override { return LineTable::kShards; }

  SeenEntries CopyShard(size_t shard) override {
    SeenEntries copy;
    copy.at_s = clock_.NowSeconds();
    table_.Visit(
        shard,
        [&](const Entry& entry) {
          copy.keys.push_back(entry.key);
          copy.active.push_back(entry.Clock(&Line::active));
          return Verdict::kKeep;
        },
        [&] {
          copy.keys.clear();
          copy.active.clear();
        });
    return copy;
  }

  void FillShard(size_t shard, const SeenEntries& entries) override {
    const Now now = ReadClock();
    const ActivityWindows then(entries.at_s, interval_s_);
    table_.Reserve(shard, entries.keys.size());
    std::vector<Fingerprint> series;  // of each only what the table keeps: its shard and its key
    series.reserve(entries.keys.size());
    for (const uint64_t key : entries.keys) series.push_back(LineTable::Recall(shard, key));
    InsertSeen(series, now, [&](size_t index, uint64_t key) {
      const int64_t passed = now.windows.NumberOf(key) - then.NumberOf(key);
      return ClockOfAgeNow(key, passed + Age(then.ClockOf(key), entries.active[index]), now);
    });
    table_.Reserve(shard, 0);
  }

 private:
  template <bool kConfirms>
  void LookupAt(const Now& now, std::span<const Fingerprint> fingerprints, std::span<const Touch> touches,
                std::span<Seen> answers) {
    const auto at_home = [&](size_t index, Line& line, unsigned slot, uint64_t key) {
      answers[index] = Seen::kKnown;
      const bool counted = line.Clock(&Line::active, slot) == now.windows.ClockOf(key);
      const bool due = kConfirms && now.confirm.Due(key, line.Clock(&Line::confirmed, slot));
      return (counted | (touches[index] == Touch::kStale)) & !due;
    };
    table_.FindEach(fingerprints, at_home,
                    [&](size_t index, const Entry& entry) { answers[index] = Answer(entry, touches[index], now); });
  }

  Now ReadClock() const {
    return {std::max<int64_t>(0, clock_.NowSeconds()), interval_s_, confirm_after_s_.load(std::memory_order_relaxed)};
  }

  static uint8_t ClockOfAgeNow(uint64_t key, int64_t age, const Now& now) {
    return ClockOfAge(now.windows.ClockOf(key), static_cast<uint32_t>(std::clamp<int64_t>(age, 0, kGreatestAge)));
  }

  // Inserts, or brings up to date, with the activity clock that active_of(index, key) gives. Gives how many are inside.
  template <typename ActiveOf>
  size_t InsertSeen(std::span<const Fingerprint> fingerprints, const Now& now, ActiveOf active_of) {
    const auto clocks_of = [&](size_t index, uint64_t key) {
      return LineTable::Clocks{.active = active_of(index, key), .confirmed = now.confirm.now()};
    };
    const size_t inside = table_.InsertEach(fingerprints, clocks_of, [&](size_t index, const Entry& entry) {
      const uint8_t window = now.windows.ClockOf(entry.key);
      const uint8_t active = active_of(index, entry.key);
      entry.Advance(&Line::active, active, [&](uint8_t clock) { return Age(window, clock) > Age(window, active); });
      MarkConfirmed(entry, now);
    });
    refused_inserts_ += fingerprints.size() - inside;
    return inside;
  }

  // From this age on an entry is idle: it was last seen somewhere in its window, so one window more. 0: never.
  uint32_t IdleAge() const {
    const uint64_t expire_s = idle_expire_s_;
    if (expire_s == 0) return 0;
    return static_cast<uint32_t>(std::min<uint64_t>((expire_s - 1) / interval_s_ + 2, kGreatestAge));
  }

  void SweepSeries(size_t shard) {
    const Now now = ReadClock();
    const uint32_t idle_age = IdleAge();
    table_.Visit(
        shard,
        [&](const Entry& entry) {
          const uint8_t window = now.windows.ClockOf(entry.key);
          if (idle_age != 0 && Age(window, entry.Clock(&Line::active)) >= idle_age) return Verdict::kDrop;
          if (idle_age == 0) KeepOld(entry, &Line::active, window);
          KeepOld(entry, &Line::confirmed, now.confirm.now());
          return Verdict::kKeep;
        },
        [] {});
  }

  void SweepAliases(size_t shard) {
    const Now now = ReadClock();
    aliases_.Visit(
        shard,
        [&](const Entry& entry) {
          const bool current = Age(now.windows.ClockOf(entry.key), entry.Clock(&Line::active)) == 0;
          return current ? Verdict::kKeep : Verdict::kDrop;
        },
        [] {});
  }

  const Clock& clock_;
  const uint32_t interval_s_;
  std::atomic<uint64_t> idle_expire_s_;
  std::atomic<uint64_t> confirm_after_s_;
  std::atomic<uint64_t> refused_inserts_ = 0;
  LineTable table_;
  LineTable aliases_;
};

}  // namespace

std::unique_ptr<SeenSet> SeenSet::Create(SeenOptions options, const Clock& clock) {
  return std::make_unique<LineSeenSet>(options, clock);
}

}  // namespace mi::dedupe
