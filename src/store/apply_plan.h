// What one Apply call brings, brought into the order in which a database likes to be asked: every identity once, sorted
// by fingerprint, its times merged. Knows no database; every adapter starts from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "model/series_batch.h"
#include "store/ports.h"

namespace mi::store {

// Where a series stands in what was applied.
struct Occurrence {
  size_t batch;
  size_t index;
  friend auto operator<=>(const Occurrence&, const Occurrence&) = default;
};

// One identity (tenant and labels) of a call.
struct PlannedSeries {
  model::Fingerprint fingerprint;
  std::span<const Occurrence> occurrences;  // ascending, at least one
  int64_t first_seen_ms;
  int64_t last_seen_ms;

  const Occurrence& first() const { return occurrences.front(); }
};

// New series between two checkpoints below which a store gives memory back; so many are indexed in a moment without.
inline constexpr uint64_t kQuietSeries = 1'000;

// Whether a label stands in metric_basic_label, and not in metric_label.
bool IsBasicLabel(std::string_view name);
// The columns of metric_basic_label: tenant, env, service, __name__. Views of the arguments.
std::array<std::string_view, 4> BasicLabelsOf(const model::Tenant& tenant, model::LabelsView labels);

// The last sighting of each fingerprint, ascending by fingerprint.
std::vector<std::pair<model::Fingerprint, int64_t>> MergeActivity(std::span<const model::ActivityBatch> batches);

// Ownership: borrows the batches, which must outlive it. Threads: compatible.
class ApplyPlan {
 public:
  explicit ApplyPlan(std::span<const model::SeriesBatch> batches);
  ApplyPlan(const ApplyPlan&) = delete;
  ApplyPlan& operator=(const ApplyPlan&) = delete;

  std::span<const PlannedSeries> series() const { return series_; }
  // The series of one fingerprint each, ascending. Several in a run are collisions within the call: at most one of them
  // can be stored.
  std::span<const std::span<const PlannedSeries>> runs() const { return runs_; }
  const model::Tenant& TenantOf(const PlannedSeries& series) const { return batches_[series.first().batch].tenant(); }
  model::LabelsView LabelsOf(const PlannedSeries& series) const { return At(series.first()).labels; }

 private:
  model::Series At(const Occurrence& at) const { return batches_[at.batch][at.index]; }
  bool SameIdentity(const Occurrence& a, const Occurrence& b) const;
  // The occurrences [begin, end) have one fingerprint.
  void AddFingerprint(size_t begin, size_t end);
  void AddIdentity(size_t begin, size_t end);

  std::span<const model::SeriesBatch> batches_;
  std::vector<Occurrence> occurrences_;
  std::vector<PlannedSeries> series_;
  std::vector<std::span<const PlannedSeries>> runs_;
};

// Every occurrence of the series is refused: the store has another content.
void AddCollisions(const PlannedSeries& series, std::string_view stored_content, ApplyResult& result);

}  // namespace mi::store
