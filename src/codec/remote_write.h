// Remote write 1.0 and 2.0, as the receiver reads them (docs/formats/remote-write.md).
//
// The fast path is one walk over the decoded request that copies nothing: each series gets a 128-bit key to ask the
// seen table for. Only series that are not known go on to the Canonicaliser, which decodes, checks and sorts their
// labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/histogram.h"
#include "codec/label_pieces.h"
#include "codec/series_limits.h"
#include "codec/symbol_table.h"
#include "model/fingerprint.h"
#include "model/series_batch.h"

namespace mi::codec {

enum class Schema : uint8_t { kV1, kV2 };

// What one request may hold, whatever its size: without these, 64 MiB of empty messages would take gigabytes to list.
// Real senders stay below 50,000 series.
inline constexpr size_t kMaxSeriesPerRequest = 1'000'000;  // and as many statements of metadata
inline constexpr size_t kMaxSymbolsPerRequest = 2'000'000;

// What ScannedSeries::key says about the series.
enum class KeyKind : uint8_t {
  kNone,         // nothing: ask the Canonicaliser
  kRaw,          // the hash of the labels as they were sent: the fingerprint if they are canonical, else an alias
  kFingerprint,  // the fingerprint
};

// One TimeSeries message of a request. Views point into the decoded request.
struct ScannedSeries {
  model::Fingerprint key;
  std::string_view message;
  std::string_view labels;  // 1.0: the label fields, 2.0: the packed references; empty when they are not in one piece
  uint32_t samples = 0;
  uint32_t histograms = 0;
  uint32_t exemplars = 0;  // without those that were refused
  KeyKind key_kind = KeyKind::kNone;
  Refusal refusal = Refusal::kNone;  // found by the walk; holds for known series too
  bool stale_only = false;           // all samples and histograms are stale markers: no activity, and not new

  // Without a sample, histogram or exemplar there is no identity; what such a series brings is its metadata.
  bool has_items() const { return (samples | histograms | exemplars) != 0; }
};

// A statement about a metric family, not decoded yet: most requests repeat what is known.
struct ScannedMetadata {
  uint64_t hash = 0;  // of tenant and content, the same in every request: who has seen it need not decode it again
  std::string_view message;  // 1.0: MetricMetadata, 2.0: Metadata
  uint32_t series = 0;       // 2.0: the series that carried it
};

// What the statements of one request take together when they are written out. In 2.0 two bytes name a help of 64 KiB,
// on every series anew.
struct MetadataBudget {
  uint64_t limit = 0;  // receive.max_decoded_bytes
  uint64_t used = 0;
};

// The result of one walk, and the walk itself. Reuse it: its arrays keep their memory.
// Threads: confined to one. Ownership: borrows the decoded request until the next Scan.
class RequestScan {
 public:
  // kInvalid, kTooLarge: the request as a whole is refused; nothing of it may be used.
  Status Scan(Schema schema, std::string_view decoded, const model::Fingerprinter& fingerprinter);

  Schema schema() const { return schema_; }
  std::span<const ScannedSeries> series() const { return series_; }
  std::span<const ScannedMetadata> metadata() const { return metadata_; }

  // Items refused although their series stands (2.0: exemplars and metadata with references beyond the symbols).
  uint64_t refused_items() const { return refused_items_; }
  const std::string& first_refused_item() const { return first_refused_item_; }  // one line; empty when none

  // Decodes one statement, and takes what it holds off the budget, good or not, before anything looks at its bytes. A
  // family without a name gives an empty `family`: pass over it. kInvalid, kTooLarge: this item is refused.
  Result<model::MetricMetadata> Decode(const ScannedMetadata& metadata, const SeriesLimits& limits,
                                       MetadataBudget& budget) const;

 private:
  friend class Walk;
  friend class V1Walk;
  friend class V2Walk;
  friend class Canonicaliser;

  uint32_t FamilyOf(const ScannedSeries& series) const;  // 2.0: the symbol of its metric name; 0 when it has none

  Schema schema_ = Schema::kV1;
  std::vector<ScannedSeries> series_;
  std::vector<ScannedMetadata> metadata_;
  SymbolTable symbols_;  // 2.0
  LabelPieces pieces_;   // 2.0
  uint64_t refused_items_ = 0;
  std::string first_refused_item_;
  Histogram histogram_;              // scratch
  std::unique_ptr<char[]> rebuilt_;  // the canonical bytes of the series at hand, where they had to be put together
};

// The slow path: the canonical label bytes of one series, or why it is refused.
// Threads: confined to one. Reuse it: it keeps its buffers.
class Canonicaliser {
 public:
  struct Outcome {
    Refusal refusal = Refusal::kNone;
    std::string_view canonical;       // valid until the next call, and as long as the decoded request
    bool key_is_fingerprint = false;  // the labels were sent canonically: the key is fingerprinter(canonical) already
    size_t examined_bytes = 0;        // of labels written out, as far as they were looked at; also of a refused series
  };

  // Also for series without items, whose labels are checked like all others.
  Outcome operator()(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);

  // One line for the sender: which series, which limit, value and knob. Requires: the series is refused, by the walk or
  // by the call above with the same limits.
  std::string Explain(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);

 private:
  Refusal Collect(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);
  Refusal CollectV1(const ScannedSeries& series, const SeriesLimits& limits);
  Refusal CollectV2(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);
  Refusal Take(model::Label label, const SeriesLimits& limits);
  Refusal Sort();
  std::string WhichSeries(const RequestScan& scan, const ScannedSeries& series) const;
  std::string Reason(const RequestScan& scan, const ScannedSeries& series, Refusal refusal,
                     const SeriesLimits& limits) const;
  std::string HistogramReason(const RequestScan& scan, const ScannedSeries& series) const;
  Refusal Refuse(Refusal refusal, std::string_view name, size_t value = 0);

  std::vector<model::Label> labels_;
  std::string bytes_;
  bool sent_canonically_ = false;
  size_t valued_ = 0;  // of labels_, those with a value
  size_t canonical_size_ = 0;
  size_t examined_bytes_ = 0;
  std::string_view blamed_name_;  // what the last refusal was about, for Explain
  size_t blamed_size_ = 0;
};

}  // namespace mi::codec
