#include "query/series_reader.h"

#include <algorithm>
#include <utility>

#include "model/tenant.h"

namespace mi::query {
namespace {

constexpr uint64_t kBlock = 1 << 16;  // ordinals per step

}  // namespace

SeriesReader::SeriesReader(std::shared_ptr<const catalog::Snapshot> snapshot, catalog::SeriesSet set, size_t limit)
    : snapshot_(std::move(snapshot)),
      set_(std::move(set)),
      limit_(limit),
      merges_(SpansTenants()),
      fingerprinter_("", model::Tenant()) {}

uint64_t SeriesReader::max_bytes() const {
  const uint64_t series = set_.size();
  const uint64_t merged = limit_ == 0 ? series : std::min<uint64_t>(series, limit_ + 1);
  return kBlock * sizeof(catalog::Ordinal) + (merges_ ? merged * kBytesPerMerged : 0);
}

const catalog::SeriesView* SeriesReader::Next() {
  if (cut_ || !ReadNextNew()) return nullptr;
  if (limit_ != 0 && returned_ == limit_) {
    cut_ = true;
    return nullptr;
  }
  ++returned_;
  return &series_;
}

// Reads into series_ the next series whose label set has not been returned yet. False if there is none. Many in a row
// may have been returned, so the bounds are asked here.
bool SeriesReader::ReadNextNew() {
  for (uint32_t reads = 1;; ++reads) {
    if (reads % 64 == 0 && Exceeded(bounds_)) return false;
    if (at_ == ordinals_.size() && !FetchOrdinals()) return false;
    snapshot_->Read(ordinals_[at_++], series_);
    if (!merges_) return true;
    canonical_.clear();
    for (const model::Label& label : series_.labels) model::AppendCanonical(label, canonical_);
    if (known_.insert(fingerprinter_(canonical_)).second) return true;
  }
}

// Refills ordinals_ with those of the next block of 65,536 ordinals that has any. False if there are no more. The set
// has no iterator that could wait between two chunks of an answer, so each block is cut out by an intersection with a
// range. That costs little for compressed sets, and the reader never holds more than one block of plain ordinals.
bool SeriesReader::FetchOrdinals() {
  ordinals_.clear();
  at_ = 0;
  const uint64_t end = snapshot_->series();
  while (ordinals_.empty() && next_ordinal_ < end) {
    const uint64_t block_end = std::min(next_ordinal_ + kBlock, end);
    catalog::SeriesSet block = catalog::SeriesSet::Range(next_ordinal_, block_end);
    block &= set_;
    block.ForEach([this](catalog::Ordinal ordinal) {
      ordinals_.push_back(ordinal);
      return true;
    });
    next_ordinal_ = block_end;
  }
  return !ordinals_.empty();
}

// Compares the whole set with the series of the tenant that its first series has. The set spans tenants if that tenant
// does not have all of them. One intersection decides this once, so most answers need no fingerprint per series.
bool SeriesReader::SpansTenants() {
  if (set_.empty()) return false;
  set_.ForEach([this](catalog::Ordinal first) {
    snapshot_->Read(first, series_);
    return false;
  });
  return snapshot_->OfTenant(series_.tenant).CountIn(set_) != set_.size();
}

}  // namespace mi::query
