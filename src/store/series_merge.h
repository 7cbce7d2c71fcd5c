// Brings the plan of one Apply call together with what the database has: which series are known and whose times change,
// which are new, and which ids the new ones get. Both stores use it; it knows no SQL. A store calls, in this order:
//
//   MatchStored()       for each row that it finds under a fingerprint of plan.runs()
//   CollectNew()        everything else is new; asks the dictionaries for the texts of the new series
//   RefuseClashes()     once the store has settled the dictionaries
//   AssignIds()         with ids that the database reserved for new_series().size() series
//   new_series(), Postings(), Moved(), healed()   are the rows to write
//   TakeResult()        after the commit
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/identity_fingerprinter.h"
#include "store/apply_plan.h"
#include "store/dictionary.h"
#include "store/ports.h"

namespace mi::store {

// If fewer series than this were inserted between two checkpoints, a store releases its memory. So many are indexed in
// a moment without it.
inline constexpr uint64_t kQuietSeries = 1'000;

// A time that is further ahead than this was told by a clock that was wrong.
inline constexpr int64_t kMostAheadMs = 3'600'000;

// last_seen of a row when its series was seen again. It is the maximum, in any order, for all times that a right clock
// can tell. A stored time in the future would never move again, so the new one replaces it.
inline int64_t LastSeen(int64_t stored_ms, int64_t seen_ms, int64_t now_ms) {
  return stored_ms > now_ms + kMostAheadMs ? seen_ms : std::max(stored_ms, seen_ms);
}

// These labels are columns of metric_basic_label; all others are rows of metric_label.
inline bool IsBasicLabel(std::string_view name) {
  return name == "env" || name == "service" || name == model::kMetricName;
}

// A row that the database has under a fingerprint of the call.
struct StoredIdentity {
  uint64_t id;
  std::string_view content;
  std::string_view tenant;
  int64_t first_seen_ms;
  int64_t last_seen_ms;
  model::Fingerprint fingerprint = {};  // as it stands in the row
  bool complete = true;                 // its times and its row of metric_basic_label are there
};

// A series that the database does not have yet, or whose row is damaged. SeriesMerge tells its texts and labels.
struct NewSeries {
  PlannedSeries planned;
  Occurrence at;  // the first one
  Hash16 fingerprint = {};
  uint64_t id = 0;
  size_t basic_label = 0;  // slot in dictionaries.basic_labels
  // Its parts of SeriesMerge::contents_ and series_pairs_.
  size_t content_begin = 0, content_end = 0;
  size_t pairs_begin = 0, pairs_end = 0;
};

// A row of metric_label.
struct Posting {
  uint64_t name, value, series;
  auto operator<=>(const Posting&) const = default;
};

// Ownership: borrows the plan and the dictionaries, which must outlive it. Threads: confined to one thread.
class SeriesMerge {
 public:
  // `stored` tells damaged rows from those of other series.
  SeriesMerge(const ApplyPlan& plan, Dictionaries& dictionaries, int64_t now_ms, model::IdentityFingerprinter& stored)
      : plan_(plan), dictionaries_(dictionaries), now_ms_(now_ms), stored_(stored), matched_(plan.runs().size()) {}
  ~SeriesMerge() { dictionaries_.Discard(); }
  SeriesMerge(const SeriesMerge&) = delete;
  SeriesMerge& operator=(const SeriesMerge&) = delete;

  // The database has `row` under the fingerprint of plan.runs()[run]. Requires: once per run.
  void MatchStored(size_t run, const StoredIdentity& row);
  void CollectNew();
  // Drops the series with a text that a dictionary refused; they become collisions. Requires: the dictionaries are
  // settled.
  void RefuseClashes();
  // Gives the ids first, first + 1, ... in the order of arrival.
  void AssignIds(uint64_t first);

  // In the order of arrival, which is that of their ids.
  std::span<const NewSeries> new_series() const { return new_; }
  // The order in which several writers must insert them.
  std::vector<const NewSeries*> NewSeriesByFingerprint() const;
  uint64_t BasicLabelOf(const NewSeries& series) const { return dictionaries_.basic_labels.IdAt(series.basic_label); }
  // Borrowed from the merge.
  std::string_view ContentOf(const NewSeries& series) const {
    return std::string_view(contents_).substr(series.content_begin, series.content_end - series.content_begin);
  }
  // The labels without those of metric_basic_label, as numbers of label pairs. Each distinct pair has one number.
  using PairNumber = uint32_t;
  std::span<const PairNumber> PairsOf(const NewSeries& series) const {
    return std::span(series_pairs_).subspan(series.pairs_begin, series.pairs_end - series.pairs_begin);
  }
  // The ids of a pair's name and value; 0 if a dictionary refused it.
  struct PairIds {
    uint64_t name, value;
  };
  PairIds IdsOf(PairNumber pair) const {
    return {dictionaries_.names.IdAt(pairs_[pair].name), dictionaries_.values.IdAt(pairs_[pair].value)};
  }
  size_t pair_count() const { return pairs_.size(); }
  // Damaged rows, with their ids, as they have to be. Ascending by id.
  std::span<const NewSeries> healed() const { return healed_; }
  // Of the new series, ascending.
  std::vector<Posting> Postings() const;
  // The known series whose times change, ascending by id, with their new times.
  std::vector<SeenUpdate> Moved() const;

  // Requires: called once, last. `moved`: the updates that were written.
  ApplyResult TakeResult(std::span<const SeenUpdate> moved);

 private:
  enum class StoredAs { kOurs, kAnother, kDamaged };
  StoredAs Compare(const StoredIdentity& row, const PlannedSeries& series);
  void Match(const PlannedSeries& series, const StoredIdentity& row, bool heals);
  void Resolve(NewSeries& series);
  struct ResolvedLabel;
  void ResolveLabel(const model::Label& label, ResolvedLabel& resolved);
  void WantBasicLabels(const std::array<std::string_view, 4>& columns, NewSeries& series);
  void Refuse(const PlannedSeries& series, std::string_view stored_content);
  // The dictionary that refused a text of the series, or nullptr.
  const Dictionary* ClashOf(const NewSeries& series) const;

  const ApplyPlan& plan_;
  Dictionaries& dictionaries_;
  const int64_t now_ms_;
  model::IdentityFingerprinter& stored_;
  std::vector<bool> matched_;  // by run
  std::vector<SeenUpdate> moved_;
  std::vector<NewSeries> new_;
  std::vector<NewSeries> healed_;

  // The texts and the pairs of the new and healed series, one series after the other.
  std::string contents_;
  std::vector<PairNumber> series_pairs_;
  // The distinct pairs, as slots in dictionaries_.names and values.
  struct PairSlots {
    size_t name, value;
  };
  std::vector<PairSlots> pairs_;
  std::unordered_map<uint64_t, PairNumber> pair_by_slots_;
  // The label at each place of the series that was resolved last, without the metric's name.
  struct ResolvedLabel {
    model::Label label;
    size_t column = 0;    // in metric_basic_label, or kNoColumn
    size_t name = 0;      // slot
    PairNumber pair = 0;  // if it has no column
    std::string text;     // its part of the content
  };
  std::vector<ResolvedLabel> previous_;
  // The basic labels of that series, and how long the key is without its last column.
  std::array<std::string_view, 4> previous_basic_;
  std::string basic_key_;
  size_t basic_prefix_ = 0;
  std::string text_;
  ApplyResult result_;
};

}  // namespace mi::store
