// Sorts the series of a request into known, new and refused: the receive → dedupe path.
//
// A series whose key the seen table holds costs a hash and a look-up; nothing of it is decoded. The others go through
// the canonicaliser, and are looked up again by their true fingerprint.
#pragma once

#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "codec/remote_write.h"
#include "dedupe/seen_set.h"
#include "model/series_batch.h"
#include "receive/arrivals.h"
#include "receive/options.h"
#include "receive/receive_metrics.h"
#include "receive/tally.h"
#include "stream/ports.h"

namespace mi::receive {

// What the intake remembers, and whom it tells of activity. All outlive it.
struct IntakeDeps {
  dedupe::SeenSet& seen;
  dedupe::SeenSet& seen_metadata;  // by hash of tenant and content
  stream::ActivityPublisher& activity;
  const Clock& clock;
  ReceiveMetrics& metrics;
};

// The buffers of one request at a time, kept from one to the next.
// Threads: confined to one at a time.
class Intake {
 public:
  explicit Intake(IntakeDeps deps) : deps_(deps) {}

  struct Sorted {
    Tally tally;
    Arrivals arrivals;
    Arrivals to_confirm;  // known, but due to be asked for in the shared tier again; as far as they are in the request
  };
  // Requires: `scan` was made with `fingerprinter`, which is the tenant's.
  Sorted Sort(const codec::RequestScan& scan, const model::Tenant& tenant, const model::Fingerprinter& fingerprinter,
              const ReceiveOptions& options);

 private:
  struct Context {
    const codec::RequestScan& scan;
    const model::Tenant& tenant;
    const model::Fingerprinter& fingerprinter;
    const ReceiveOptions& options;
    Sorted sorted;
  };
  // A series that its key did not tell, and its true fingerprint.
  struct Resolved {
    uint32_t series;
    bool aliased;  // its key is another name of it
  };

  void Restart();
  void LookUpKeys(Context& context);
  void LookUpAliases(Context& context);
  void ResolveUnknown(Context& context);
  void LookUpResolved(Context& context);
  void ResolveDue(Context& context);
  void SortMetadata(Context& context);
  void Refuse(Context& context, const codec::ScannedSeries& series, codec::Refusal refusal);
  void RefuseExcess(Context& context, uint64_t bytes);
  // What a known series asks for besides. Its labels are still in the request.
  void Note(uint32_t series, const model::Fingerprint& fingerprint, dedupe::Seen answer);
  void PublishActivity();
  static void CountItems(const codec::ScannedSeries& series, Tally& tally);
  model::SeriesBatch& BatchOf(Arrivals& arrivals, const Context& context) const;

  IntakeDeps deps_;
  codec::Canonicaliser canonicaliser_;

  std::vector<model::Fingerprint> keys_;
  std::vector<dedupe::Touch> touches_;
  std::vector<dedupe::Seen> answers_;
  std::vector<uint32_t> key_series_;  // the series of each key
  std::vector<uint32_t> unknown_;     // series whose key told nothing
  std::vector<uint32_t> alias_series_;
  std::vector<Resolved> resolved_;
  std::string canonical_;                                  // of the resolved, one behind the other
  std::vector<size_t> canonical_ends_;                     // where each ends
  std::unordered_set<model::Fingerprint> metadata_taken_;  // 2.0 repeats a family's statement on each of its series
  std::vector<model::Fingerprint> active_;                 // first activity in their window
  std::vector<uint32_t> due_;                              // known series to be confirmed
};

}  // namespace mi::receive
