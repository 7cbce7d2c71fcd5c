#include "receive/intake.h"

#include "base/format.h"
#include "base/restart.h"

namespace mi::receive {
namespace {

using codec::KeyKind;
using codec::Refusal;
using codec::ScannedSeries;
using dedupe::Seen;
using dedupe::Touch;
using model::Fingerprint;

// The metadata table is a seen table as well; its keys need 128 bits of which the upper ones are spread.
Fingerprint MetadataKey(uint64_t hash) { return {.hi = hash * 0x9e3779b97f4a7c15, .lo = hash}; }

// Whether there is something to catalogue: a sample, histogram or exemplar that is no farewell.
bool BringsASeries(const ScannedSeries& series) { return series.has_items() && !series.stale_only; }

Touch TouchOf(const ScannedSeries& series) { return BringsASeries(series) ? Touch::kActive : Touch::kStale; }

}  // namespace

Intake::Sorted Intake::Sort(const codec::RequestScan& scan, const model::Tenant& tenant,
                            const model::Fingerprinter& fingerprinter, const ReceiveOptions& options) {
  Context context{scan, tenant, fingerprinter, options, {}};
  Tally& tally = context.sorted.tally;
  tally.series = scan.series().size();
  tally.refused_items = scan.refused_items();
  tally.first_refusal = scan.first_refused_item();
  Restart();

  LookUpKeys(context);
  if (!alias_series_.empty()) LookUpAliases(context);
  if (!unknown_.empty()) {
    ResolveUnknown(context);
    LookUpResolved(context);
  }
  if (!due_.empty()) ResolveDue(context);
  if (!scan.metadata().empty()) SortMetadata(context);
  PublishActivity();

  tally.known = tally.series - tally.refused - tally.fresh;
  deps_.metrics.known.Add(static_cast<double>(tally.known));
  return std::move(context.sorted);
}

// All of them, also those that this request may not come to use.
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
}

void Intake::LookUpKeys(Context& context) {
  const auto all = context.scan.series();
  for (uint32_t i = 0; i < all.size(); ++i) {
    const ScannedSeries& series = all[i];
    if (series.refusal != Refusal::kNone) {
      Refuse(context, series, series.refusal);
    } else if (series.key_kind == KeyKind::kNone) {
      unknown_.push_back(i);
    } else {
      keys_.push_back(series.key);
      touches_.push_back(TouchOf(series));
      key_series_.push_back(i);
    }
  }
  answers_.resize(keys_.size());
  deps_.seen.Lookup(keys_, touches_, answers_);
  for (size_t k = 0; k < keys_.size(); ++k) {
    const ScannedSeries& series = all[key_series_[k]];
    if (answers_[k] != Seen::kUnknown) {
      Note(key_series_[k], keys_[k], answers_[k]);
      CountItems(series, context.sorted.tally);
    } else if (series.key_kind == KeyKind::kRaw) {
      alias_series_.push_back(key_series_[k]);
    } else {
      unknown_.push_back(key_series_[k]);
    }
  }
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
      CountItems(all[alias_series_[k]], context.sorted.tally);
    }
  }
}

void Intake::ResolveUnknown(Context& context) {
  keys_.clear();
  uint64_t examined = 0;
  for (const uint32_t i : unknown_) {
    const ScannedSeries& series = context.scan.series()[i];
    // 2.0's references name a long value with two bytes: what they expand to has a bound as well, refused or not.
    if (examined >= context.options.max_decoded_bytes) {
      RefuseExcess(context, examined);
      continue;
    }
    const auto outcome = canonicaliser_(context.scan, series, context.options.series);
    examined += outcome.examined_bytes;
    if (outcome.refusal != Refusal::kNone) {
      Refuse(context, series, outcome.refusal);
      continue;
    }
    CountItems(series, context.sorted.tally);
    if (!BringsASeries(series)) continue;
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
  Arrivals& arrivals = context.sorted.arrivals;
  for (size_t k = 0; k < keys_.size(); ++k) {
    const Fingerprint& key = context.scan.series()[resolved_[k].series].key;
    if (answers_[k] != Seen::kUnknown) {
      Note(resolved_[k].series, keys_[k], answers_[k]);
      // Not while there is something to say of the series itself: its alias would keep that from being heard.
      if (resolved_[k].aliased && answers_[k] == Seen::kKnown) aliases.push_back(key);
      continue;
    }
    const size_t begin = k == 0 ? 0 : canonical_ends_[k - 1];
    model::SeriesBatch& batch = BatchOf(arrivals, context);
    if (resolved_[k].aliased) arrivals.aliases.push_back({key, arrivals.fingerprints.size()});
    batch.Add(keys_[k], std::string_view(canonical_).substr(begin, canonical_ends_[k] - begin));
    arrivals.fingerprints.push_back(keys_[k]);
    const ScannedSeries& series = context.scan.series()[resolved_[k].series];
    arrivals.items.push_back({series.samples, series.histograms, series.exemplars});
    ++context.sorted.tally.fresh;
  }
  if (!aliases.empty()) deps_.seen.InsertAliases(aliases);
}

// A few of the known series, now and then: with their labels they can be published again.
void Intake::ResolveDue(Context& context) {
  Arrivals& due = context.sorted.to_confirm;
  for (const uint32_t i : due_) {
    const ScannedSeries& series = context.scan.series()[i];
    if (!BringsASeries(series)) continue;
    if (due.batch != nullptr && due.batch->byte_size() >= context.options.max_decoded_bytes) return;
    const auto outcome = canonicaliser_(context.scan, series, context.options.series);
    if (outcome.refusal != Refusal::kNone) continue;  // limits have changed since
    due.fingerprints.push_back(outcome.key_is_fingerprint ? series.key : context.fingerprinter(outcome.canonical));
    BatchOf(due, context).Add(due.fingerprints.back(), outcome.canonical);
  }
}

void Intake::SortMetadata(Context& context) {
  const auto all = context.scan.metadata();
  keys_.clear();
  for (const codec::ScannedMetadata& metadata : all) keys_.push_back(MetadataKey(metadata.hash));
  touches_.assign(keys_.size(), Touch::kActive);
  answers_.resize(keys_.size());
  deps_.seen_metadata.Lookup(keys_, touches_, answers_);
  Arrivals& arrivals = context.sorted.arrivals;
  codec::MetadataBudget budget{.limit = context.options.max_decoded_bytes};
  for (size_t k = 0; k < keys_.size(); ++k) {
    // Once an activity window a known statement is published again: that moves its last_seen.
    if (answers_[k] == Seen::kKnown || !metadata_taken_.insert(keys_[k]).second) continue;
    Result<model::MetricMetadata> metadata = context.scan.Decode(all[k], context.options.series, budget);
    if (!metadata) {
      Tally& tally = context.sorted.tally;
      if (tally.refused_items++ == 0 && tally.refused == 0) tally.first_refusal = metadata.error().message();
      continue;
    }
    if (metadata->family.empty()) continue;
    BatchOf(arrivals, context).AddMetadata(*std::move(metadata));
    arrivals.metadata_keys.push_back(keys_[k]);
  }
}

void Intake::Refuse(Context& context, const ScannedSeries& series, Refusal refusal) {
  Tally& tally = context.sorted.tally;
  if (tally.refused++ == 0) tally.first_refusal = canonicaliser_.Explain(context.scan, series, context.options.series);
  deps_.metrics.CountRefused(refusal);
}

void Intake::RefuseExcess(Context& context, uint64_t bytes) {
  Tally& tally = context.sorted.tally;
  if (tally.refused++ == 0) {
    tally.first_refusal =
        format("the labels of the new series are {} when written out, limit {} (receive.max_decoded_bytes)",
               FormatBytes(bytes), FormatBytes(context.options.max_decoded_bytes));
  }
  deps_.metrics.CountRefused(Refusal::kRequestTooLarge);
}

void Intake::Note(uint32_t series, const Fingerprint& fingerprint, Seen answer) {
  if (answer == Seen::kKnown) return;
  if (answer == Seen::kKnownNewWindow) {
    active_.push_back(fingerprint);
  } else {
    due_.push_back(series);
  }
}

void Intake::PublishActivity() {
  if (!active_.empty()) deps_.activity.PublishActivity({deps_.clock.NowMs(), active_});
}

void Intake::CountItems(const ScannedSeries& series, Tally& tally) {
  tally.samples += series.samples;
  tally.histograms += series.histograms;
  tally.exemplars += series.exemplars;
}

model::SeriesBatch& Intake::BatchOf(Arrivals& arrivals, const Context& context) const {
  if (arrivals.batch == nullptr) {
    arrivals.batch = std::make_shared<model::SeriesBatch>(context.tenant, deps_.clock.NowMs());
  }
  return *arrivals.batch;
}

}  // namespace mi::receive
