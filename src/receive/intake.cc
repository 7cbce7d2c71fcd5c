#include "receive/intake.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "base/restart.h"
#include "receive/long_work.h"

namespace mi::receive {
namespace {

using codec::KeyKind;
using codec::Refusal;
using codec::ScannedSeries;
using dedupe::Seen;
using dedupe::Touch;
using model::Fingerprint;

// Memory for new series is taken in steps of this size, so that short requests cost no access to the budget here.
constexpr uint64_t kStepBytes = 1 << 20;
// Of memory per byte of labels: in canonical_ and in the batch, both of which double when they grow.
constexpr uint64_t kCopies = 4;

// The metadata table is a seen table too. Its keys need 128 bits, and the upper 64 must be well distributed.
Fingerprint MetadataKey(uint64_t hash) { return {.hi = hash * 0x9e3779b97f4a7c15, .lo = hash}; }

// True if there is something to catalogue: a sample, histogram or exemplar that is not a stale marker.
bool IsActive(const ScannedSeries& series) { return series.has_items() && !series.stale_only; }

Touch TouchOf(const ScannedSeries& series) { return IsActive(series) ? Touch::kActive : Touch::kStale; }

Items ItemsOf(const ScannedSeries& series) { return {series.samples, series.histograms, series.exemplars}; }

}  // namespace

// How a series is looked up, each step only for what the step before did not find:
//
//   key, the hash of the labels as they were sent -> seen table    known: done, nothing decoded
//   the same key                                  -> aliases       known: done
//   fingerprint, of the canonical labels          -> seen table    known: remember the key as an alias
//                                                                  unknown: new
Intake::Sorted Intake::Sort(const codec::RequestScan& scan, const model::Tenant& tenant,
                            const model::Fingerprinter& fingerprinter, const ReceiveOptions& options,
                            MemoryHold& memory) {
  Context context{scan, tenant, fingerprinter, options, memory};
  RequestCounts& counts = context.sorted.counts;
  counts.series = scan.series().size();
  counts.refused_items = scan.refused_items();
  counts.first_refusal = scan.first_refused_item();
  Restart();

  LookUpKeys(context);
  if (!alias_series_.empty()) LookUpAliases(context);
  if (!unknown_.empty()) {
    ResolveUnknown(context);
    if (context.sorted.memory) LookUpResolved(context);
  }
  if (!due_.empty()) ResolveDue(context);
  if (context.sorted.memory && !scan.metadata().empty()) SortMetadata(context);
  if (!active_.empty()) deps_.activity.PublishActivity({deps_.clock.NowMs(), active_});
  if (!context.sorted.memory) return std::move(context.sorted);

  counts.known = counts.series - counts.refused - counts.fresh;
  deps_.metrics.known.Add(static_cast<double>(counts.known));
  if (counts.refused > 0) deps_.metrics.CountRefused(refused_);
  return std::move(context.sorted);
}

// Also the buffers that this request may not use: so each gives back memory that it no longer needs.
void Intake::Restart() {
  mi::Restart(keys_);
  mi::Restart(touches_);
  mi::Restart(answers_);
  mi::Restart(key_series_);
  mi::Restart(unknown_);
  mi::Restart(alias_series_);
  mi::Restart(resolved_);
  mi::Restart(canonical_);
  mi::Restart(canonical_ends_);
  mi::Restart(metadata_taken_);
  mi::Restart(active_);
  mi::Restart(due_);
  refused_.fill(0);
}

// The answer of a look-up changes the table: kKnownNewWindow and kKnownConfirm are given to one caller only. So a
// series is looked up again only if it was not found, and such an answer must not be dropped: NoteKnown keeps it.
void Intake::LookUpKeys(Context& context) {
  const auto all = context.scan.series();
  // Sized once: an append per series costs more than the rest of this loop.
  keys_.resize(all.size());
  touches_.resize(all.size());
  key_series_.resize(all.size());
  size_t count = 0;
  for (uint32_t i = 0; i < all.size(); ++i) {
    const ScannedSeries& series = all[i];
    if (series.refusal != Refusal::kNone) {
      Refuse(context, series, series.refusal);
    } else if (series.key_kind == KeyKind::kNone) {
      unknown_.push_back(i);
    } else {
      keys_[count] = series.key;
      touches_[count] = TouchOf(series);
      key_series_[count] = i;
      ++count;
    }
  }
  keys_.resize(count);
  touches_.resize(count);
  key_series_.resize(count);
  answers_.resize(count);
  deps_.seen.Lookup(keys_, touches_, answers_);
  Items written;
  for (size_t k = 0; k < count; ++k) {
    const ScannedSeries& series = all[key_series_[k]];
    if (answers_[k] != Seen::kUnknown) {
      if (answers_[k] != Seen::kKnown) NoteKnown(key_series_[k], keys_[k], answers_[k]);
      written += ItemsOf(series);
    } else if (series.key_kind == KeyKind::kRaw) {
      alias_series_.push_back(key_series_[k]);
    } else {
      unknown_.push_back(key_series_[k]);
    }
  }
  context.sorted.counts.written += written;
}

void Intake::LookUpAliases(Context& context) {
  const auto all = context.scan.series();
  keys_.clear();
  for (const uint32_t i : alias_series_) keys_.push_back(all[i].key);
  answers_.resize(keys_.size());
  deps_.seen.LookupAliases(keys_, answers_);
  for (size_t k = 0; k < keys_.size(); ++k) {
    if (answers_[k] == Seen::kUnknown) {
      unknown_.push_back(alias_series_[k]);
    } else {
      context.sorted.counts.written += ItemsOf(all[alias_series_[k]]);
    }
  }
}

// The slow path, several times as expensive as a known series. It ends once max_decoded_bytes of labels were examined,
// or what is in proportion to the request; the other series are refused. The canonical bytes are copied to one string,
// because the canonicaliser reuses its buffer; the batch gets them only if the second look-up does not find the
// fingerprint either.
void Intake::ResolveUnknown(Context& context) {
  keys_.clear();
  const uint64_t limit = std::min(context.options.max_decoded_bytes, context.scan.max_label_bytes());
  uint64_t examined = 0;
  for (const uint32_t i : unknown_) {
    const ScannedSeries& series = context.scan.series()[i];
    // In 2.0 two bytes refer to a long value: so the expanded size has a limit too, and refused series count.
    if (examined >= limit) {
      RefuseExcess(context, examined, limit);
      continue;
    }
    const auto outcome = canonicaliser_(context.scan, series, context.options.series);
    examined += outcome.examined_bytes;
    if (outcome.refusal != Refusal::kNone) {
      Refuse(context, series, outcome.refusal);
      continue;
    }
    context.sorted.counts.written += ItemsOf(series);
    if (!IsActive(series)) continue;
    if (!Take(context, outcome.canonical.size() * kCopies)) return;
    keys_.push_back(outcome.key_is_fingerprint ? series.key : context.fingerprinter(outcome.canonical));
    resolved_.push_back({.series = i, .aliased = series.key_kind == KeyKind::kRaw && !outcome.key_is_fingerprint});
    canonical_.append(outcome.canonical);
    canonical_ends_.push_back(canonical_.size());
  }
}

void Intake::LookUpResolved(Context& context) {
  touches_.assign(keys_.size(), Touch::kActive);
  answers_.resize(keys_.size());
  deps_.seen.Lookup(keys_, touches_, answers_);
  std::vector<Fingerprint> aliases;
  NewSeries& fresh = context.sorted.fresh;
  for (size_t k = 0; k < keys_.size(); ++k) {
    const ScannedSeries& series = context.scan.series()[resolved_[k].series];
    if (answers_[k] != Seen::kUnknown) {
      NoteKnown(resolved_[k].series, keys_[k], answers_[k]);
      // Only if the answer asks for nothing else: found by its alias, the series would not get such an answer again.
      if (resolved_[k].aliased && answers_[k] == Seen::kKnown) aliases.push_back(series.key);
      continue;
    }
    CreateBatch(fresh, context);
    const size_t begin = k == 0 ? 0 : canonical_ends_[k - 1];
    const std::string_view canonical = std::string_view(canonical_).substr(begin, canonical_ends_[k] - begin);
    fresh.Add(keys_[k], canonical, resolved_[k].aliased ? series.key : Fingerprint(), ItemsOf(series));
    ++context.sorted.counts.fresh;
  }
  if (!aliases.empty()) deps_.seen.InsertAliases(aliases);
}

// Few known series are due, and only now and then. Their labels are needed in case they must be published again.
void Intake::ResolveDue(Context& context) {
  NewSeries& due = context.sorted.to_confirm;
  for (const uint32_t i : due_) {
    const ScannedSeries& series = context.scan.series()[i];
    if (!IsActive(series)) continue;
    if (due.batch != nullptr && due.batch->byte_size() >= context.options.max_decoded_bytes) return;
    const auto outcome = canonicaliser_(context.scan, series, context.options.series);
    if (outcome.refusal != Refusal::kNone) continue;  // the limits have changed since
    CreateBatch(due, context);
    due.Add(outcome.key_is_fingerprint ? series.key : context.fingerprinter(outcome.canonical), outcome.canonical);
  }
}

void Intake::SortMetadata(Context& context) {
  const auto all = context.scan.metadata();
  keys_.clear();
  for (const codec::ScannedMetadata& metadata : all) keys_.push_back(MetadataKey(metadata.hash));
  touches_.assign(keys_.size(), Touch::kActive);
  answers_.resize(keys_.size());
  deps_.seen_metadata.Lookup(keys_, touches_, answers_);
  NewSeries& fresh = context.sorted.fresh;
  codec::MetadataBudget budget{.limit = context.options.max_decoded_bytes};
  for (size_t k = 0; k < keys_.size(); ++k) {
    // Known metadata is published again once per activity window: that updates its last_seen.
    if (answers_[k] == Seen::kKnown || !metadata_taken_.insert(keys_[k]).second) continue;
    Result<model::MetricMetadata> metadata = context.scan.Decode(all[k], context.options.series, budget);
    if (!metadata) {
      RequestCounts& counts = context.sorted.counts;
      if (counts.refused_items++ == 0 && counts.refused == 0) counts.first_refusal = metadata.error().message();
      continue;
    }
    if (metadata->family.empty()) continue;
    if (!Take(context, NewSeries::MemoryOf(*metadata))) return;
    CreateBatch(fresh, context);
    fresh.batch->AddMetadata(*std::move(metadata));
    fresh.metadata_keys.push_back(keys_[k]);
  }
}

// Returns false if the budget has no room. What the look-ups so far have noted is published all the same.
bool Intake::Take(Context& context, uint64_t bytes) const {
  context.not_taken += bytes;
  if (context.not_taken < kStepBytes) return true;
  context.sorted.memory = TakeMemory(context.memory, std::exchange(context.not_taken, 0));
  return context.sorted.memory.has_value();
}

void Intake::Refuse(Context& context, const ScannedSeries& series, Refusal refusal) {
  RequestCounts& counts = context.sorted.counts;
  if (counts.refused++ == 0)
    counts.first_refusal = canonicaliser_.Explain(context.scan, series, context.options.series);
  ++refused_[static_cast<size_t>(refusal)];
}

void Intake::RefuseExcess(Context& context, uint64_t bytes, uint64_t limit) {
  RequestCounts& counts = context.sorted.counts;
  if (counts.refused++ == 0) {
    const bool of_all = limit == context.options.max_decoded_bytes;
    counts.first_refusal =
        format("the labels of the new series are {} when written out, limit {} ({})", FormatBytes(bytes),
               FormatBytes(limit), of_all ? "receive.max_decoded_bytes" : "fixed: 16 times the decoded request");
  }
  ++refused_[static_cast<size_t>(Refusal::kRequestTooLarge)];
}

void Intake::NoteKnown(uint32_t series, const Fingerprint& fingerprint, Seen answer) {
  if (answer == Seen::kKnown) return;
  if (answer == Seen::kKnownNewWindow) {
    active_.push_back(fingerprint);
  } else {
    due_.push_back(series);
  }
}

void Intake::CreateBatch(NewSeries& to, const Context& context) const {
  if (to.batch == nullptr) to.batch = std::make_shared<model::SeriesBatch>(context.tenant, deps_.clock.NowMs());
}

}  // namespace mi::receive
