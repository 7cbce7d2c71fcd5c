#include "store/apply_plan.h"

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <utility>

namespace mi::store {
namespace {

struct Entry {
  model::Fingerprint fingerprint;
  Occurrence at;
  auto operator<=>(const Entry&) const = default;
};

// Fingerprints are hashes, so their first bits tell nearly where an entry belongs: one bucket per entry, and few
// buckets with more than two. If they are not, it is as fast as a sort.
std::vector<Entry> Sorted(const std::vector<Entry>& entries) {
  const int bits = std::bit_width(entries.size());
  const auto bucket_of = [&](const Entry& entry) { return entry.fingerprint.hi >> (64 - bits); };
  std::vector<size_t> ends(size_t{1} << bits);  // first the size of each bucket, then where its next entry goes
  std::vector<Entry> sorted(entries.size());
  if (entries.empty()) return sorted;
  for (const Entry& entry : entries) ++ends[bucket_of(entry)];
  for (size_t begin = 0; size_t& end : ends) begin += std::exchange(end, begin);
  for (const Entry& entry : entries) sorted[ends[bucket_of(entry)]++] = entry;
  for (size_t begin = 0; const size_t end : ends) {
    if (end - begin > 1)
      std::sort(sorted.begin() + static_cast<ptrdiff_t>(begin), sorted.begin() + static_cast<ptrdiff_t>(end));
    begin = end;
  }
  return sorted;
}

}  // namespace

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

// Sorting all occurrences by fingerprint brings those of one identity together, without a hash table over label sets.
// Within a fingerprint nearly always all occurrences have one identity; AddFingerprint splits those that do not.
ApplyPlan::ApplyPlan(std::span<const model::SeriesBatch> batches) : batches_(batches) {
  std::vector<Entry> entries;
  size_t count = 0;
  for (const model::SeriesBatch& batch : batches) count += batch.size();
  entries.reserve(count);
  for (size_t b = 0; b < batches.size(); ++b) {
    for (size_t i = 0; i < batches[b].size(); ++i) entries.push_back({batches[b][i].fingerprint, {b, i}});
  }
  entries = Sorted(entries);

  occurrences_.reserve(entries.size());
  series_.reserve(entries.size());
  for (const Entry& entry : entries) occurrences_.push_back(entry.at);
  for (size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
    while (end < entries.size() && entries[end].fingerprint == entries[begin].fingerprint) ++end;
    const size_t first = series_.size();
    AddFingerprint(entries[begin].fingerprint, begin, end);
    runs_.push_back(std::span(series_).subspan(first));  // series_ was reserved, so it never moves
  }
}

bool ApplyPlan::SameIdentity(const Occurrence& a, const Occurrence& b) const {
  return At(a).labels == At(b).labels && batches_[a.batch].tenant() == batches_[b.batch].tenant();
}

// Takes the first occurrence as leader, moves those of its identity to the front, and repeats with the rest. Quadratic
// in the number of identities under one fingerprint, of which there is nearly always one.
void ApplyPlan::AddFingerprint(const model::Fingerprint& fingerprint, size_t begin, size_t end) {
  if (end - begin == 1) return AddIdentity(fingerprint, begin, end);  // reads no labels, which are far apart in memory
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
    AddIdentity(fingerprint, begin, next);
    begin = next;
  }
}

void ApplyPlan::AddIdentity(const model::Fingerprint& fingerprint, size_t begin, size_t end) {
  PlannedSeries series{.fingerprint = fingerprint,
                       .occurrences = std::span(occurrences_).subspan(begin, end - begin),
                       .first_seen_ms = INT64_MAX,
                       .last_seen_ms = INT64_MIN};
  for (const Occurrence& at : series.occurrences) {
    series.first_seen_ms = std::min(series.first_seen_ms, batches_[at.batch].seen_at_ms());
    series.last_seen_ms = std::max(series.last_seen_ms, batches_[at.batch].seen_at_ms());
  }
  series_.push_back(series);
}

}  // namespace mi::store
