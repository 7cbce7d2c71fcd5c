// Sorts the series of a request into known, new and refused: the path from receive to dedupe.
//
// A series whose key is an alias in the seen table costs a local hash and a look-up; nothing of it is decoded. The
// others are looked up by their fingerprint.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "codec/canonicaliser.h"
#include "codec/remote_write.h"
#include "dedupe/seen_set.h"
#include "model/series_batch.h"
#include "receive/new_series.h"
#include "receive/options.h"
#include "receive/receive_metrics.h"
#include "stream/ports.h"

namespace mi::receive {

// The seen tables, and where activity is published. All outlive the intake.
struct IntakeDeps {
  dedupe::SeenSet& seen;
  dedupe::SeenSet& seen_metadata;  // by hash of tenant and content
  stream::ActivityPublisher& activity;
  const Clock& clock;
  ReceiveMetrics& metrics;
};

// What became of the series of one request, as far as the request itself tells.
struct RequestCounts {
  uint64_t series = 0;  // all that the request contains
  uint64_t known = 0;   // durable before, or nothing to catalogue (only stale markers, only metadata)
  uint64_t fresh = 0;   // not durable yet: published, or awaited
  uint64_t refused = 0;
  uint64_t refused_items = 0;  // exemplars and metadata of series that were accepted
  std::string first_refusal;   // one line; empty if nothing was refused
  Items written;               // of the accepted series; remote write 2.0 reports them
};

// Keeps its buffers from one request to the next: known series cost no allocation.
// Threads: confined to one at a time.
class Intake {
 public:
  explicit Intake(IntakeDeps deps) : deps_(deps) {}

  struct Sorted {
    RequestCounts counts;
    NewSeries fresh;
    NewSeries to_confirm;  // known, but due to be looked up in the shared tier again
    // kInvalid: the request is broken (RequestScan::Examine). kOverloaded, kTooLarge: TakeMemory() failed. After an
    // error, `counts` and `fresh` are incomplete.
    Status status = {};
  };
  // `scan` must have been made with LocalHasher(seen.alias_key(), fingerprinter), at any depth: what is unknown is
  // examined. `fingerprinter` must be that of `tenant`. `memory` grows with the new series if they are large.
  Sorted Sort(codec::RequestScan& scan, const model::Tenant& tenant, const model::Fingerprinter& fingerprinter,
              const ReceiveOptions& options, MemoryHold& memory);

 private:
  struct Context {
    const codec::RequestScan& scan;
    const model::Tenant& tenant;
    const model::Fingerprinter& fingerprinter;
    const ReceiveOptions& options;
    MemoryHold& memory;
    Sorted sorted = {};
    uint64_t not_taken = 0;  // bytes that were written, or will be, and are not in `memory` yet
  };

  void Restart();
  void CountItems(Context& context);
  void LookUpSent(Context& context);
  void ResolveUnknown(Context& context);
  void LookUpResolved(Context& context);
  void CollectNew(Context& context);
  void ResolveDue(Context& context);
  void SortMetadata(Context& context);
  bool Take(Context& context, uint64_t bytes) const;
  void Refuse(Context& context, const codec::ScannedSeries& series, codec::Refusal refusal);
  void RefuseExcess(Context& context, const codec::ScannedSeries& series, uint64_t bytes, uint64_t limit);
  // A known series may need to be published as active, or confirmed. Its key is remembered as an alias.
  void NoteKnown(const Context& context, uint32_t series, const model::Fingerprint& fingerprint, dedupe::Seen answer);
  void CreateBatch(NewSeries& to, const Context& context) const;

  IntakeDeps deps_;
  codec::Canonicaliser canonicaliser_;

  std::vector<uint32_t> unknown_;                // series that are not known so far
  std::vector<uint32_t> looked_up_;              // series whose fingerprints are looked up,
  std::vector<model::Fingerprint> keys_;         // these, or the keys of metadata,
  std::vector<dedupe::Touch> touches_;           // what they are,
  std::vector<dedupe::Seen> answers_;            // and the answers
  std::vector<dedupe::SeenSet::Alias> aliases_;  // to be remembered
  // A series whose labels as they were sent have a fingerprint that is not known.
  struct Sent {
    uint32_t series;
    model::Fingerprint fingerprint;
  };
  std::vector<Sent> unknown_sent_;  // ascending
  // A series with its canonical labels.
  struct Resolved {
    uint32_t series;
    bool is_new;  // its fingerprint was looked up
    model::Fingerprint fingerprint;
    std::string_view sent;      // the labels, if they were sent in canonical form
    size_t canonical_size = 0;  // otherwise: their bytes in canonical_, after those of the series before
  };
  std::vector<Resolved> resolved_;
  std::string canonical_;
  std::unordered_set<model::Fingerprint> metadata_taken_;  // 2.0 repeats the metadata of a family on each series
  std::vector<model::Fingerprint> active_;                 // the first activity in their window
  std::vector<uint32_t> due_;                              // known series to be confirmed
  RefusalCounts refused_{};                                // of the request
};

}  // namespace mi::receive
