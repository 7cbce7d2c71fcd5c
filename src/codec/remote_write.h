// Remote write 1.0 and 2.0, as the receiver reads them (docs/formats/remote-write.md).
//
// The fast path is one walk over the decoded request, which copies nothing: each series gets a key, the local hash of
// its labels as they were sent, which is looked up among the aliases of the seen table. Only series that are not known
// go to the Canonicaliser (canonicaliser.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/histogram.h"
#include "codec/series_limits.h"
#include "codec/symbol_table.h"
#include "model/fingerprint.h"
#include "model/local_hash.h"
#include "model/series_batch.h"

namespace mi::codec {

enum class Schema : uint8_t { kV1, kV2 };

// The most that one request may contain, in proportion to its decoded size: otherwise 64 MiB of empty messages would
// need gigabytes of list entries, and two bytes would cost as much time as a series. Real senders stay below 50,000
// series, and need 29 bytes for the smallest sample of the smallest series in 1.0, 18 bytes in 2.0.
inline constexpr size_t kAlwaysAllowed = 10'000;           // series, symbols etc., in a request of any size
inline constexpr size_t kMinBytesPerSeries = 16;           // on average, and per metadata message and histogram
inline constexpr size_t kMinBytesPerSymbol = 4;            // on average
inline constexpr size_t kMaxSeriesPerRequest = 1'000'000;  // and as many metadata messages and histograms
inline constexpr size_t kMaxSymbolsPerRequest = 2'000'000;
constexpr size_t MaxSeries(size_t decoded_bytes) {
  return std::clamp(decoded_bytes / kMinBytesPerSeries, kAlwaysAllowed, kMaxSeriesPerRequest);
}
constexpr size_t MaxSymbols(size_t decoded_bytes) {
  return std::clamp(decoded_bytes / kMinBytesPerSymbol, kAlwaysAllowed, kMaxSymbolsPerRequest);
}

// The most bytes that the labels of all series may have together when they are written out. 2.0: two bytes refer to a
// symbol of any length. The labels of real senders have about ten times the size of their request.
constexpr uint64_t MaxLabelBytes(size_t decoded_bytes) {
  return std::max<uint64_t>(16 << 20, uint64_t{16} * decoded_bytes);
}

// One TimeSeries message of a request. Views point into the decoded request.
struct ScannedSeries {
  std::string_view message;
  std::string_view labels;  // 1.0: the label fields, 2.0: the packed references; empty if they are not in one piece
  uint32_t samples = 0;
  uint32_t histograms = 0;
  uint32_t exemplars = 0;            // without refused ones
  Refusal refusal = Refusal::kNone;  // found by the walk; applies to known series too
  bool stale_only = false;           // all samples and histograms are stale markers: neither active nor new
  bool examined = true;              // false: only its end was read (Depth::kKeysFirst)

  // A series without samples, histograms and exemplars is not catalogued; it only carries metadata.
  bool has_items() const { return (samples | histograms | exemplars) != 0; }
};

// Metadata of a metric family, not decoded: most requests repeat what is known.
struct ScannedMetadata {
  uint64_t hash = 0;  // local, of tenant and content; the same in every request, so known metadata is not decoded
  std::string_view message;  // 1.0: MetricMetadata, 2.0: Metadata
  uint32_t series = 0;       // 2.0: the series that carried it
};

// The size of all metadata of one request, written out. In 2.0 two bytes refer to a help text of 64 KiB, on each
// series.
struct MetadataBudget {
  uint64_t limit = 0;  // receive.max_decoded_bytes
  uint64_t used = 0;
};

// How far Scan reads.
//
// kKeysFirst is for callers that know most series by their keys. A series of 1.0 that ends like nearly all, with one
// sample in the usual form, gets the hash of the bytes before that sample as its key, and its labels are not read. If
// labels with this key were accepted before, those bytes are these labels, and nothing else of the series has to be
// read. Otherwise Examine() must be called before the series is used: its bytes may be anything.
enum class Depth : uint8_t { kWhole, kKeysFirst };

// What a caller does not want to read, although it could be. The defaults exclude nothing.
struct ScanBounds {
  size_t series = kMaxSeriesPerRequest;  // and as many metadata messages
  uint64_t label_bytes = UINT64_MAX;     // 2.0, with the references resolved
  Depth depth = Depth::kWhole;
};

// The fields of a decoded request, up to the first that is broken. Each becomes at most one series and one metadata
// message, or one symbol.
size_t CountFields(std::string_view decoded);

// One walk over a request, and its result. Reuse it: its arrays keep their memory.
// Threads: confined to one. Ownership: borrows the decoded request until the next Scan.
class RequestScan {
 public:
  // kInvalid, kTooLarge: the whole request is refused; the result must not be used. kTooLarge also if it exceeds the
  // bounds; the walk ends where that shows.
  Status Scan(Schema schema, std::string_view decoded, const model::LocalHasher& hasher, const ScanBounds& bounds = {});
  // Reads those of `series`, which are indices into series(), that Scan has not examined. May change their keys.
  // Errors: as Scan. Requires: the same hasher as in Scan.
  Status Examine(std::span<const uint32_t> series, const model::LocalHasher& hasher);

  // Room for the series of one Scan(), so that it allocates once.
  void Reserve(size_t series) { series_.reserve(series); }

  // Adds a series that did not come by remote write (OpenTSDB), with one sample. `canonical`: its labels, borrowed
  // until the next Scan(). `key`: their local hash. Requires: schema() == Schema::kV1.
  void Add(std::string_view canonical, const model::Fingerprint& key);

  Schema schema() const { return schema_; }
  uint64_t max_label_bytes() const { return max_label_bytes_; }  // MaxLabelBytes() of the request
  std::span<const ScannedSeries> series() const { return series_; }
  // One per series: equal keys, equal labels. All zeros: none, because the series has no items, or labels that are not
  // in one piece or too many.
  std::span<const model::Fingerprint> keys() const { return keys_; }
  std::span<const ScannedMetadata> metadata() const { return metadata_; }

  // Items that are refused although their series is accepted (2.0: exemplars and metadata with references beyond the
  // symbols).
  uint64_t refused_items() const { return refused_items_; }
  const std::string& first_refused_item() const { return first_refused_item_; }  // one line; empty if there is none

  // 2.0: the metric name of a series, as far as the symbols tell. Empty in 1.0.
  std::string_view MetricName(const ScannedSeries& series) const;

  // Decodes one metadata entry. Its size is subtracted from the budget, valid or not, before its bytes are examined. An
  // empty `family` means: ignore the entry. kInvalid, kTooLarge: the entry is refused.
  Result<model::MetricMetadata> Decode(const ScannedMetadata& metadata, const SeriesLimits& limits,
                                       MetadataBudget& budget) const;

 private:
  friend class Walk;
  friend class V1Walk;
  friend class V2Walk;
  friend class Canonicaliser;

  uint32_t NameOf(const ScannedSeries& series) const;  // 2.0: the symbol of its metric name; 0 if it has none
  // 2.0: the family that the metadata of a series describes. 1.0 says metadata by family, 2.0 by series.
  static std::string_view FamilyOf(const ScannedSeries& series, std::string_view metric_name, uint64_t type);

  Schema schema_ = Schema::kV1;
  std::string_view decoded_;
  uint64_t max_label_bytes_ = UINT64_MAX;
  std::vector<ScannedSeries> series_;
  std::vector<model::Fingerprint> keys_;
  std::vector<ScannedMetadata> metadata_;
  SymbolTable symbols_;  // 2.0
  uint64_t refused_items_ = 0;
  std::string first_refused_item_;
  size_t histograms_taken_ = 0;
  Histogram histogram_;  // scratch
};

}  // namespace mi::codec
