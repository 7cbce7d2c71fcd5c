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
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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

// A series that the database does not have yet, or whose row is damaged.
struct NewSeries {
  const PlannedSeries* planned = nullptr;
  Hash16 fingerprint = {};
  struct LabelSlots {
    size_t name, value;
    friend bool operator==(const LabelSlots&, const LabelSlots&) = default;
  };
  uint64_t id = 0;
  size_t basic_label = 0;          // slot in dictionaries.basic_labels
  std::vector<LabelSlots> labels;  // slots of the other labels, in dictionaries.names and values
  std::string content;
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

  // By fingerprint, the order in which several writers must insert them.
  std::span<const NewSeries> new_series() const { return new_; }
  std::span<const NewSeries* const> NewSeriesById() const { return by_id_; }
  uint64_t BasicLabelOf(const NewSeries& series) const { return dictionaries_.basic_labels.IdAt(series.basic_label); }
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
  std::vector<NewSeries*> NewInOrderOfArrival();
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
  std::vector<const NewSeries*> by_id_;  // since AssignIds
  // The label at each place of the series that was resolved last.
  struct ResolvedLabel {
    model::Label label;
    NewSeries::LabelSlots slots;
  };
  std::vector<ResolvedLabel> previous_;
  std::string text_;
  ApplyResult result_;
};

}  // namespace mi::store
