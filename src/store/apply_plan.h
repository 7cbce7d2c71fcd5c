// The input of one Apply call in the order in which a database is best asked: each identity once, sorted by
// fingerprint, with merged times. Every store starts from it; it knows no database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "model/series_batch.h"

namespace mi::store {

// Where a series is in the batches of the call.
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

// The last time that each fingerprint was seen, ascending by fingerprint.
std::vector<std::pair<model::Fingerprint, int64_t>> MergeActivity(std::span<const model::ActivityBatch> batches);

// Ownership: borrows the batches, which must outlive it. Threads: confined to one thread.
class ApplyPlan {
 public:
  explicit ApplyPlan(std::span<const model::SeriesBatch> batches);
  ApplyPlan(const ApplyPlan&) = delete;
  ApplyPlan& operator=(const ApplyPlan&) = delete;

  std::span<const model::SeriesBatch> batches() const { return batches_; }
  std::span<const PlannedSeries> series() const { return series_; }
  // Per fingerprint, ascending, the series that have it. If there are several they collide: at most one can be stored.
  std::span<const std::span<const PlannedSeries>> runs() const { return runs_; }
  const model::Tenant& TenantOf(const PlannedSeries& series) const { return batches_[series.first().batch].tenant(); }
  model::LabelsView LabelsOf(const PlannedSeries& series) const { return At(series.first()).labels; }

 private:
  model::Series At(const Occurrence& at) const { return batches_[at.batch][at.index]; }
  bool SameIdentity(const Occurrence& a, const Occurrence& b) const;
  // Adds the series of one fingerprint, which all occurrences in [begin, end) have.
  void AddFingerprint(const model::Fingerprint& fingerprint, size_t begin, size_t end);
  void AddIdentity(const model::Fingerprint& fingerprint, size_t begin, size_t end);

  std::span<const model::SeriesBatch> batches_;
  std::vector<Occurrence> occurrences_;
  std::vector<PlannedSeries> series_;
  std::vector<std::span<const PlannedSeries>> runs_;
};

}  // namespace mi::store
