#include "store/apply_plan.h"

#include <algorithm>
#include <string>
#include <unordered_map>

namespace mi::store {

bool IsBasicLabel(std::string_view name) { return name == "env" || name == "service" || name == model::kMetricName; }

std::array<std::string_view, 4> BasicLabelsOf(const model::Tenant& tenant, model::LabelsView labels) {
  std::array<std::string_view, 4> basic = {tenant.name(), "", "", ""};
  for (const model::Label& label : labels) {
    if (label.name == "env") basic[1] = label.value;
    if (label.name == "service") basic[2] = label.value;
    if (label.name == model::kMetricName) basic[3] = label.value;
  }
  return basic;
}

std::vector<std::pair<model::Fingerprint, int64_t>> MergeActivity(std::span<const model::ActivityBatch> batches) {
  std::unordered_map<model::Fingerprint, int64_t> seen;
  for (const model::ActivityBatch& batch : batches) {
    for (const model::Fingerprint& fingerprint : batch.fingerprints) {
      int64_t& at = seen.try_emplace(fingerprint, batch.seen_at_ms).first->second;
      at = std::max(at, batch.seen_at_ms);
    }
  }
  std::vector<std::pair<model::Fingerprint, int64_t>> sorted(seen.begin(), seen.end());
  std::ranges::sort(sorted);
  return sorted;
}

void AddCollisions(const PlannedSeries& series, std::string_view stored_content, ApplyResult& result) {
  for (const Occurrence& at : series.occurrences) {
    result.collisions.push_back({at.batch, at.index, std::string(stored_content)});
  }
}

ApplyPlan::ApplyPlan(std::span<const model::SeriesBatch> batches) : batches_(batches) {
  struct Entry {
    model::Fingerprint fingerprint;
    Occurrence at;
    auto operator<=>(const Entry&) const = default;
  };
  std::vector<Entry> entries;
  for (size_t b = 0; b < batches.size(); ++b) {
    for (size_t i = 0; i < batches[b].size(); ++i) entries.push_back({batches[b][i].fingerprint, {b, i}});
  }
  std::ranges::sort(entries);

  occurrences_.reserve(entries.size());
  series_.reserve(entries.size());
  for (const Entry& entry : entries) occurrences_.push_back(entry.at);
  for (size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
    while (end < entries.size() && entries[end].fingerprint == entries[begin].fingerprint) ++end;
    AddFingerprint(begin, end);
  }
  const std::span<const PlannedSeries> series = series_;
  for (size_t begin = 0, end = 0; begin < series.size(); begin = end) {
    while (end < series.size() && series[end].fingerprint == series[begin].fingerprint) ++end;
    runs_.push_back(series.subspan(begin, end - begin));
  }
}

bool ApplyPlan::SameIdentity(const Occurrence& a, const Occurrence& b) const {
  return At(a).labels == At(b).labels && batches_[a.batch].tenant() == batches_[b.batch].tenant();
}

void ApplyPlan::AddFingerprint(size_t begin, size_t end) {
  const auto all = std::span(occurrences_);
  while (begin < end) {
    const auto run = all.subspan(begin, end - begin);
    const Occurrence leader = run.front();
    const auto others = std::ranges::partition(run, [&](const Occurrence& at) { return SameIdentity(leader, at); });
    const size_t next = end - others.size();
    if (!others.empty()) {
      std::ranges::sort(all.subspan(begin, next - begin));
      std::ranges::sort(others);
    }
    AddIdentity(begin, next);
    begin = next;
  }
}

void ApplyPlan::AddIdentity(size_t begin, size_t end) {
  PlannedSeries series{.fingerprint = At(occurrences_[begin]).fingerprint,
                       .occurrences = std::span(occurrences_).subspan(begin, end - begin),
                       .first_seen_ms = batches_[occurrences_[begin].batch].seen_at_ms(),
                       .last_seen_ms = batches_[occurrences_[begin].batch].seen_at_ms()};
  for (const Occurrence& at : series.occurrences) {
    series.first_seen_ms = std::min(series.first_seen_ms, batches_[at.batch].seen_at_ms());
    series.last_seen_ms = std::max(series.last_seen_ms, batches_[at.batch].seen_at_ms());
  }
  series_.push_back(series);
}

}  // namespace mi::store
