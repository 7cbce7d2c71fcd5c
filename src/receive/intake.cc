#include "receive/intake.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "base/restart.h"
#include "receive/long_work.h"

namespace mi::receive {
namespace {

using codec::Refusal;
using codec::ScannedSeries;
using dedupe::Seen;
using dedupe::Touch;
using model::Fingerprint;

// Memory for new series is taken in steps of this size, so that short requests cost no access to the budget here.
constexpr uint64_t kStepBytes = 1 << 20;
// At most so many bytes of memory per byte of labels: in canonical_, which doubles when it grows, and in the batch.
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
//   key, the local hash of the labels as they were sent -> aliases      known: done, nothing decoded; the others are
//                                                                       examined, which may show a broken request
//   fingerprint, of the labels as they were sent        -> seen table   known: they are canonical; remember the key
//                                                                       unknown, but canonical: new
//   fingerprint, of the canonical labels                -> seen table   known: remember the key
//                                                                       unknown: new
// The second step is for 1.0, where most senders sort their labels: it saves decoding them, and new series are not
// looked up again.
Intake::Sorted Intake::Sort(codec::RequestScan& scan, const model::Tenant& tenant,
                            const model::Fingerprinter& fingerprinter, const ReceiveOptions& options,
                            MemoryHold& memory) {
  Context context{scan, tenant, fingerprinter, options, memory};
  RequestCounts& counts = context.sorted.counts;
  counts.series = scan.series().size();
  counts.refused_items = scan.refused_items();
  counts.first_refusal = scan.first_refused_item();
  Restart();

  deps_.seen.FindUnknown(scan.keys(), unknown_);
  if (!unknown_.empty()) {
    const model::LocalHasher hasher(deps_.seen.alias_key(), fingerprinter);
    context.sorted.status = scan.Examine(unknown_, hasher);
    if (!context.sorted.status) return std::move(context.sorted);
  }
  CountItems(context);
  if (!unknown_.empty()) {
    if (scan.schema() == codec::Schema::kV1) LookUpSent(context);
    ResolveUnknown(context);
    if (context.sorted.status) {
      LookUpResolved(context);
      CollectNew(context);
    }
    deps_.seen.RememberAliases(aliases_);
  }
  if (!due_.empty()) ResolveDue(context);
  if (context.sorted.status && !scan.metadata().empty()) SortMetadata(context);
  if (!active_.empty()) deps_.activity.PublishActivity({deps_.clock.NowMs(), active_});
  if (!context.sorted.status) return std::move(context.sorted);

  counts.known = counts.series - counts.refused - counts.fresh;
  deps_.metrics.known.Add(static_cast<double>(counts.known));
  if (counts.refused > 0) deps_.metrics.CountRefused(refused_);
  return std::move(context.sorted);
}

// Also the buffers that this request may not use: so each gives back memory that it no longer needs.
void Intake::Restart() {
  mi::Restart(unknown_);
  mi::Restart(looked_up_);
  mi::Restart(keys_);
  mi::Restart(touches_);
  mi::Restart(answers_);
  mi::Restart(aliases_);
  mi::Restart(canonical_);
  mi::Restart(unknown_sent_);
  mi::Restart(resolved_);
  mi::Restart(metadata_taken_);
  mi::Restart(active_);
  mi::Restart(due_);
  refused_.fill(0);
}

// Counts the items of all series, as if all were accepted, and refuses what the walk found, also of known series.
void Intake::CountItems(Context& context) {
  Items written;
  bool refused = false;
  for (const ScannedSeries& series : context.scan.series()) {
    written += ItemsOf(series);
    refused |= series.refusal != Refusal::kNone;
  }
  context.sorted.counts.written = written;
  if (!refused) return;
  for (const ScannedSeries& series : context.scan.series()) {
    if (series.refusal != Refusal::kNone) Refuse(context, series, series.refusal);
  }
}

// The answer of a look-up changes the table: kKnownNewWindow and kKnownConfirm are given to one caller only. So a
// series is looked up again only if it was not found. Such an answer must not be dropped: NoteKnown keeps it.
void Intake::LookUpSent(Context& context) {
  const auto all = context.scan.series();
  size_t left = 0;
  for (const uint32_t i : unknown_) {
    const ScannedSeries& series = all[i];
    if (series.refusal == Refusal::kNone && !series.labels.empty() && series.has_items()) {
      looked_up_.push_back(i);
      keys_.push_back(context.fingerprinter(series.labels));
      touches_.push_back(TouchOf(series));
    } else {
      unknown_[left++] = i;
    }
  }
  answers_.resize(keys_.size());
  deps_.seen.Lookup(keys_, touches_, answers_);
  for (size_t k = 0; k < keys_.size(); ++k) {
    if (answers_[k] == Seen::kUnknown) {
      unknown_sent_.push_back({looked_up_[k], keys_[k]});
    } else {
      NoteKnown(context, looked_up_[k], keys_[k], answers_[k]);
    }
  }
  unknown_.resize(left);
  for (const Sent& sent : unknown_sent_) unknown_.push_back(sent.series);
  if (left > 0) std::ranges::sort(unknown_);
}

// The slow path. It ends once max_decoded_bytes of labels were examined, or what is in proportion to the request; the
// other series are refused. Labels that were sent in canonical form have been looked up by now, and stay where they are
// in the request. Others are copied to one string, because the canonicaliser reuses its buffer.
void Intake::ResolveUnknown(Context& context) {
  const uint64_t limit = std::min(context.options.max_decoded_bytes, context.scan.max_label_bytes());
  uint64_t examined = 0;
  auto sent = unknown_sent_.begin();
  for (const uint32_t i : unknown_) {
    const ScannedSeries& series = context.scan.series()[i];
    if (series.refusal != Refusal::kNone) continue;
    // In 2.0 two bytes refer to a long value: so the expanded size has a limit too, and refused series count.
    if (examined >= limit) {
      RefuseExcess(context, series, examined, limit);
      continue;
    }
    const auto outcome = canonicaliser_(context.scan, series, context.options.series);
    examined += outcome.examined_bytes;
    if (outcome.refusal != Refusal::kNone) {
      Refuse(context, series, outcome.refusal);
      continue;
    }
    if (!IsActive(series)) continue;
    if (!Take(context, outcome.canonical.size() * kCopies)) return;
    while (sent != unknown_sent_.end() && sent->series < i) ++sent;
    const bool was_looked_up = sent != unknown_sent_.end() && sent->series == i;
    if (was_looked_up && outcome.canonical.data() == series.labels.data()) {
      resolved_.push_back({.series = i, .is_new = true, .fingerprint = sent->fingerprint, .sent = outcome.canonical});
    } else {
      resolved_.push_back({.series = i,
                           .is_new = false,
                           .fingerprint = context.fingerprinter(outcome.canonical),
                           .sent = {},
                           .canonical_size = outcome.canonical.size()});
      canonical_.append(outcome.canonical);
    }
  }
}

void Intake::LookUpResolved(Context& context) {
  keys_.clear();
  for (const Resolved& resolved : resolved_) {
    if (!resolved.is_new) keys_.push_back(resolved.fingerprint);
  }
  touches_.assign(keys_.size(), Touch::kActive);
  answers_.resize(keys_.size());
  deps_.seen.Lookup(keys_, touches_, answers_);
  size_t k = 0;
  for (Resolved& resolved : resolved_) {
    if (resolved.is_new) continue;
    resolved.is_new = answers_[k] == Seen::kUnknown;
    if (!resolved.is_new) NoteKnown(context, resolved.series, resolved.fingerprint, answers_[k]);
    ++k;
  }
}

void Intake::CollectNew(Context& context) {
  NewSeries& fresh = context.sorted.fresh;
  size_t count = 0;
  size_t bytes = 0;
  for (const Resolved& resolved : resolved_) {
    if (!resolved.is_new) continue;
    ++count;
    bytes += resolved.sent.size() + resolved.canonical_size;
  }
  if (count == 0) return;
  CreateBatch(fresh, context);
  fresh.Reserve(count, bytes);
  size_t at = 0;
  for (const Resolved& resolved : resolved_) {
    const std::string_view canonical =
        resolved.sent.empty() ? std::string_view(canonical_).substr(at, resolved.canonical_size) : resolved.sent;
    at += resolved.canonical_size;
    if (!resolved.is_new) continue;
    fresh.Add(resolved.fingerprint, canonical, ItemsOf(context.scan.series()[resolved.series]));
  }
  context.sorted.counts.fresh += count;
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
    due.Add(context.fingerprinter(outcome.canonical), outcome.canonical);
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

// Returns false if the budget has no room. The activity that the look-ups have noted so far is published all the same.
bool Intake::Take(Context& context, uint64_t bytes) const {
  context.not_taken += bytes;
  if (context.not_taken < kStepBytes) return true;
  context.sorted.status = TakeMemory(context.memory, std::exchange(context.not_taken, 0));
  return context.sorted.status.has_value();
}

void Intake::Refuse(Context& context, const ScannedSeries& series, Refusal refusal) {
  RequestCounts& counts = context.sorted.counts;
  if (counts.refused++ == 0)
    counts.first_refusal = canonicaliser_.Explain(context.scan, series, context.options.series);
  counts.written -= ItemsOf(series);
  ++refused_[static_cast<size_t>(refusal)];
}

void Intake::RefuseExcess(Context& context, const ScannedSeries& series, uint64_t bytes, uint64_t limit) {
  RequestCounts& counts = context.sorted.counts;
  if (counts.refused++ == 0) {
    const bool of_all = limit == context.options.max_decoded_bytes;
    counts.first_refusal =
        format("the labels of the new series are {} when written out, limit {} ({})", FormatBytes(bytes),
               FormatBytes(limit), of_all ? "receive.max_decoded_bytes" : "fixed: 16 times the decoded request");
  }
  counts.written -= ItemsOf(series);
  ++refused_[static_cast<size_t>(Refusal::kRequestTooLarge)];
}

// Stale markers get no alias: they do not count as the activity of the window, and later samples must.
void Intake::NoteKnown(const Context& context, uint32_t series, const Fingerprint& fingerprint, Seen answer) {
  const Fingerprint key = context.scan.keys()[series];
  if (key != Fingerprint() && IsActive(context.scan.series()[series])) aliases_.push_back({key, fingerprint});
  if (answer == Seen::kKnownNewWindow) active_.push_back(fingerprint);
  if (answer == Seen::kKnownConfirm) due_.push_back(series);
}

void Intake::CreateBatch(NewSeries& to, const Context& context) const {
  if (to.batch == nullptr) to.batch = std::make_shared<model::SeriesBatch>(context.tenant, deps_.clock.NowMs());
}

}  // namespace mi::receive
