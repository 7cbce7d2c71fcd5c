#include "codec/testing/plain_remote_write.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <protozero/pbf_reader.hpp>
#include <set>

#include "base/format.h"
#include "model/identity.h"

namespace mi::codec {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;

struct WrongType : protozero::exception {
  const char* what() const noexcept override { return "wire type"; }
};

struct TooMany : protozero::exception {
  const char* what() const noexcept override { return "too many for the size of the request"; }
};

// protozero truncates tags and lengths to 32 bits; a request with larger ones is refused.
void RefuseWideVarint(const pbf_reader& reader) {
  auto rest = reader.data();
  const char* at = rest.data();
  if (protozero::decode_varint(&at, rest.data() + rest.size()) > UINT32_MAX) throw WrongType();
}

bool Next(pbf_reader& reader) {
  if (reader) RefuseWideVarint(reader);
  return reader.next();
}

void Skip(pbf_reader& reader) {
  if (reader.wire_type() == pbf_wire_type::length_delimited) RefuseWideVarint(reader);
  reader.skip();
}

void Want(const pbf_reader& reader, pbf_wire_type type) {
  if (reader.wire_type() != type) throw WrongType();
}

std::string_view Bytes(pbf_reader& reader) {
  Want(reader, pbf_wire_type::length_delimited);
  RefuseWideVarint(reader);
  const auto view = reader.get_view();
  return {view.data(), view.size()};
}

uint64_t Varint(pbf_reader& reader) {
  Want(reader, pbf_wire_type::varint);
  return reader.get_uint64();
}

double Double(pbf_reader& reader) {
  Want(reader, pbf_wire_type::fixed64);
  return reader.get_double();
}

// A repeated varint, packed or not.
void AppendVarints(pbf_reader& reader, std::vector<uint64_t>& out) {
  if (reader.wire_type() == pbf_wire_type::varint) return out.push_back(reader.get_uint64());
  const std::string_view packed = Bytes(reader);
  const char* at = packed.data();
  while (at != packed.data() + packed.size()) {
    out.push_back(protozero::decode_varint(&at, packed.data() + packed.size()));
  }
}

using OwnedLabels = std::vector<std::pair<std::string, std::string>>;

struct RawSeries {
  OwnedLabels labels;
  std::vector<uint32_t> references;
  bool malformed_label = false;
  std::vector<double> samples;
  std::vector<Histogram> histograms;
  uint32_t exemplars = 0;
  std::vector<std::vector<uint32_t>> exemplar_references;
  bool has_metadata = false;
  uint32_t type = 0;
  uint32_t help = 0;
  uint32_t unit = 0;
};

struct RawMetadata {
  uint32_t type = 0;
  std::string family;
  std::string help;
  std::string unit;
};

double ReadSample(std::string_view message) {
  double value = 0;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: value = Double(reader); break;
      case 2: Varint(reader); break;
      default: Skip(reader);
    }
  }
  return value;
}

BucketSpan ReadSpan(std::string_view message) {
  BucketSpan span;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: span.offset = protozero::decode_zigzag32(static_cast<uint32_t>(Varint(reader))); break;
      case 2: span.length = static_cast<uint32_t>(Varint(reader)); break;
      default: Skip(reader);
    }
  }
  return span;
}

void AppendDeltas(pbf_reader& reader, std::vector<int64_t>& out) {
  std::vector<uint64_t> coded;
  AppendVarints(reader, coded);
  for (const uint64_t delta : coded) out.push_back(protozero::decode_zigzag64(delta));
}

void AppendDoubles(pbf_reader& reader, std::vector<double>& out) {
  if (reader.wire_type() == pbf_wire_type::fixed64) return out.push_back(reader.get_double());
  Want(reader, pbf_wire_type::length_delimited);
  RefuseWideVarint(reader);
  for (const double value : reader.get_packed_double()) out.push_back(value);
}

Histogram ReadPlainHistogram(std::string_view message) {
  Histogram h;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: h.is_float = false, h.count = Varint(reader); break;
      case 2: h.is_float = true, h.float_count = Double(reader); break;
      case 3: h.sum = Double(reader); break;
      case 4: h.schema = protozero::decode_zigzag32(static_cast<uint32_t>(Varint(reader))); break;
      case 5: h.zero_threshold = Double(reader); break;
      case 6: h.zero_count = Varint(reader), h.float_zero_count = 0; break;
      case 7: h.float_zero_count = Double(reader), h.zero_count = 0; break;
      case 8: h.negative.spans.push_back(ReadSpan(Bytes(reader))); break;
      case 9: AppendDeltas(reader, h.negative.deltas); break;
      case 10: AppendDoubles(reader, h.negative.counts); break;
      case 11: h.positive.spans.push_back(ReadSpan(Bytes(reader))); break;
      case 12: AppendDeltas(reader, h.positive.deltas); break;
      case 13: AppendDoubles(reader, h.positive.counts); break;
      case 14: Varint(reader); break;
      case 15: h.timestamp_ms = static_cast<int64_t>(Varint(reader)); break;
      case 16: AppendDoubles(reader, h.custom_values); break;
      default: Skip(reader);
    }
  }
  return h;
}

std::pair<std::string, std::string> ReadLabel(std::string_view message) {
  std::pair<std::string, std::string> label;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: label.first = Bytes(reader); break;
      case 2: label.second = Bytes(reader); break;
      default: Skip(reader);
    }
  }
  return label;
}

void SkipAll(std::string_view message) {
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) Skip(reader);
}

RawSeries ReadSeriesV1(std::string_view message) {
  RawSeries series;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: {
        const std::string_view label = Bytes(reader);
        try {
          series.labels.push_back(ReadLabel(label));
        } catch (const protozero::exception&) {
          series.malformed_label = true;
        }
        break;
      }
      case 2: series.samples.push_back(ReadSample(Bytes(reader))); break;
      case 3:
        SkipAll(Bytes(reader));
        ++series.exemplars;
        break;
      case 4: series.histograms.push_back(ReadPlainHistogram(Bytes(reader))); break;
      default: Skip(reader);
    }
  }
  return series;
}

std::vector<uint32_t> ReadReferences(pbf_reader& reader) {
  std::vector<uint64_t> wide;
  AppendVarints(reader, wide);
  return {wide.begin(), wide.end()};
}

void Append(std::vector<uint32_t>& to, const std::vector<uint32_t>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

std::vector<uint32_t> ReadExemplarV2(std::string_view message) {
  std::vector<uint32_t> references;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    if (reader.tag() == 1) {
      Append(references, ReadReferences(reader));
    } else {
      Skip(reader);
    }
  }
  return references;
}

void ReadMetadataV2(std::string_view message, RawSeries& series) {
  series.has_metadata = true;
  series.type = series.help = series.unit = 0;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: series.type = static_cast<uint32_t>(Varint(reader)); break;
      case 3: series.help = static_cast<uint32_t>(Varint(reader)); break;
      case 4: series.unit = static_cast<uint32_t>(Varint(reader)); break;
      default: Skip(reader);
    }
  }
}

RawSeries ReadSeriesV2(std::string_view message) {
  RawSeries series;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: Append(series.references, ReadReferences(reader)); break;
      case 2: series.samples.push_back(ReadSample(Bytes(reader))); break;
      case 3: series.histograms.push_back(ReadPlainHistogram(Bytes(reader))); break;
      case 4: series.exemplar_references.push_back(ReadExemplarV2(Bytes(reader))); break;
      case 5: ReadMetadataV2(Bytes(reader), series); break;
      default: Skip(reader);
    }
  }
  return series;
}

RawMetadata ReadMetadataV1(std::string_view message) {
  RawMetadata metadata;
  pbf_reader reader(message.data(), message.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 1: metadata.type = static_cast<uint32_t>(Varint(reader)); break;
      case 2: metadata.family = Bytes(reader); break;
      case 4: metadata.help = Bytes(reader); break;
      case 5: metadata.unit = Bytes(reader); break;
      default: Skip(reader);
    }
  }
  return metadata;
}

bool AreLabelsGood(const OwnedLabels& labels, const SeriesLimits& limits) {
  std::set<std::string> names;
  bool has_name = false;
  size_t valued = 0;
  for (const auto& [name, value] : labels) {
    if (name.empty() || name.size() > limits.max_name_bytes || value.size() > limits.max_value_bytes) return false;
    if (!model::IsValidUtf8(name) || !model::IsValidUtf8(value)) return false;
    if (!names.insert(name).second) return false;
    valued += value.empty() ? 0 : 1;
    has_name |= name == model::kMetricName && !value.empty();
  }
  const size_t most = std::max(valued, labels.size() - valued);
  return most <= limits.max_labels && valued > 0 && (has_name || !limits.require_metric_name);
}

std::string CanonicalOf(const OwnedLabels& owned) {
  std::vector<model::Label> labels;
  for (const auto& [name, value] : owned) labels.push_back({name, value});
  return model::Labels::FromUnsorted(labels)->canonical();
}

PlainSeries CheckSeries(const RawSeries& raw, const SeriesLimits& limits) {
  PlainSeries series;
  series.samples = static_cast<uint32_t>(raw.samples.size());
  series.histograms = static_cast<uint32_t>(raw.histograms.size());
  series.exemplars = raw.exemplars;
  series.has_items = series.samples + series.histograms + series.exemplars > 0;
  auto is_stale = [](double value) { return std::bit_cast<uint64_t>(value) == kStaleMarker; };
  series.stale_only = series.samples + series.histograms > 0 && series.exemplars == 0 &&
                      std::ranges::all_of(raw.samples, is_stale) &&
                      std::ranges::all_of(raw.histograms, [&](const Histogram& h) { return is_stale(h.sum); });
  auto is_valid = [](const Histogram& histogram) { return Validate(histogram).has_value(); };
  series.refused =
      raw.malformed_label || !AreLabelsGood(raw.labels, limits) || !std::ranges::all_of(raw.histograms, is_valid);
  if (series.refused) return series;
  series.canonical = CanonicalOf(raw.labels);
  series.refused = series.canonical.size() > limits.max_series_bytes;
  if (series.refused) series.canonical.clear();
  return series;
}

std::string FamilyOf(const std::string& series, uint32_t type, bool is_native) {
  static const std::map<uint32_t, std::set<std::string>> kSuffixes = {{3, {"_bucket", "_sum", "_count"}},
                                                                      {4, {"_bucket", "_gsum", "_gcount"}},
                                                                      {5, {"_sum", "_count"}},
                                                                      {6, {"_info"}}};
  const auto suffixes = kSuffixes.find(type);
  const size_t last = series.rfind('_');
  if (suffixes == kSuffixes.end() || last == std::string::npos || last == 0) return series;
  if (is_native && (type == 3 || type == 4)) return series;
  return suffixes->second.contains(series.substr(last)) ? series.substr(0, last) : series;
}

void Keep(const RawMetadata& raw, const SeriesLimits& limits, PlainRequest& out) {
  static const std::vector<std::string> kTypes = {"unknown",        "counter", "gauge", "histogram",
                                                  "gaugehistogram", "summary", "info",  "stateset"};
  if (raw.family.empty() || raw.family.size() > limits.max_value_bytes || raw.unit.size() > limits.max_value_bytes ||
      raw.help.size() > limits.max_series_bytes) {
    return;
  }
  if (!model::IsValidUtf8(raw.family) || !model::IsValidUtf8(raw.help) || !model::IsValidUtf8(raw.unit)) return;
  out.metadata.push_back({raw.family, kTypes[raw.type < kTypes.size() ? raw.type : 0], raw.help, raw.unit});
}

size_t CountHistograms(const PlainRequest& request) {
  size_t count = 0;
  for (const PlainSeries& series : request.series) count += series.histograms;
  return count;
}

PlainRequest DecodeV1(std::string_view decoded, const SeriesLimits& limits) {
  PlainRequest request;
  bool foreign = false;
  bool any = false;
  size_t metadata = 0;
  pbf_reader reader(decoded.data(), decoded.size());
  while (Next(reader)) {
    metadata += reader.tag() == 3 ? 1 : 0;
    any |= reader.tag() == 1 || reader.tag() == 3;
    switch (reader.tag()) {
      case 1: request.series.push_back(CheckSeries(ReadSeriesV1(Bytes(reader)), limits)); break;
      case 3: Keep(ReadMetadataV1(Bytes(reader)), limits, request); break;
      default:
        foreign |= (reader.tag() == 4 || reader.tag() == 5) && reader.wire_type() == pbf_wire_type::length_delimited;
        Skip(reader);
    }
  }
  if (foreign && !any) throw WrongType();
  if (std::max(request.series.size(), metadata) > MaxSeries(decoded.size())) throw TooMany();
  if (CountHistograms(request) > MaxSeries(decoded.size())) throw TooMany();
  return request;
}

// Resolves the references. Those beyond the symbols are refused.
PlainSeries Resolve(RawSeries raw, const std::vector<std::string>& symbols, const SeriesLimits& limits,
                    PlainRequest& request) {
  auto is_good = [&](const std::vector<uint32_t>& references) {
    return references.size() % 2 == 0 &&
           std::ranges::all_of(references, [&](uint32_t r) { return r < symbols.size(); });
  };
  for (const auto& references : raw.exemplar_references) {
    if (is_good(references)) {
      ++raw.exemplars;
    } else {
      ++request.refused_items;
    }
  }
  for (const uint32_t reference : raw.references) {
    if (reference < symbols.size()) request.label_bytes += symbols[reference].size();
  }
  const bool good = is_good(raw.references);
  RawMetadata metadata{.type = raw.type};
  for (size_t i = 0; i + 1 < raw.references.size() && good; i += 2) {
    raw.labels.emplace_back(symbols[raw.references[i]], symbols[raw.references[i + 1]]);
    if (raw.labels.back().first == model::kMetricName && metadata.family.empty()) {
      metadata.family = raw.labels.back().second;
    }
  }
  PlainSeries series = CheckSeries(raw, limits);
  if (!good) series.refused = true;
  if (!raw.has_metadata || (raw.type | raw.help | raw.unit) == 0) return series;
  if (raw.help >= symbols.size() || raw.unit >= symbols.size()) return ++request.refused_items, series;
  metadata.family = FamilyOf(metadata.family, raw.type, !raw.histograms.empty());
  metadata.help = symbols[raw.help];
  metadata.unit = symbols[raw.unit];
  Keep(metadata, limits, request);
  return series;
}

PlainRequest DecodeV2(std::string_view decoded, const SeriesLimits& limits) {
  std::vector<std::string> symbols;
  std::vector<RawSeries> series;
  bool foreign = false;
  pbf_reader reader(decoded.data(), decoded.size());
  while (Next(reader)) {
    switch (reader.tag()) {
      case 4: symbols.emplace_back(Bytes(reader)); break;
      case 5: series.push_back(ReadSeriesV2(Bytes(reader))); break;
      default:
        foreign |= (reader.tag() == 1 || reader.tag() == 3) && reader.wire_type() == pbf_wire_type::length_delimited;
        Skip(reader);
    }
  }
  if (series.size() > MaxSeries(decoded.size()) || symbols.size() > MaxSymbols(decoded.size())) throw TooMany();
  const bool no_table = symbols.empty() && (!series.empty() || foreign);
  if (no_table || (!symbols.empty() && !symbols[0].empty())) throw WrongType();
  PlainRequest request;
  for (RawSeries& raw : series) request.series.push_back(Resolve(std::move(raw), symbols, limits, request));
  if (CountHistograms(request) > MaxSeries(decoded.size())) throw TooMany();
  return request;
}

// What the Canonicaliser makes of labels.
using PlainLabels = std::pair<bool, std::string>;  // refused, canonical

std::string Describe(const PlainSeries& s) {
  return format("refused {} items {} stale {} counts {}/{}/{} labels {}", s.refused, s.has_items, s.stale_only,
                s.samples, s.histograms, s.exemplars, model::FormatIdentity(model::LabelsView(s.canonical)));
}

// Compares a scan of keys first, whose series are examined afterwards, with `whole`. Nothing if both are the same.
std::string DisagreementOfDepths(Schema schema, std::string_view decoded, const model::LocalHasher& hasher,
                                 const Status& of_whole, const RequestScan& whole) {
  RequestScan scan;
  const Status scanned = scan.Scan(schema, decoded, hasher, {.depth = Depth::kKeysFirst});
  const std::vector<model::Fingerprint> first_keys(scan.keys().begin(), scan.keys().end());
  const std::vector<ScannedSeries> first(scan.series().begin(), scan.series().end());
  std::vector<uint32_t> all(scan.series().size());
  std::iota(all.begin(), all.end(), 0);
  Status status = scanned ? scan.Examine(all, hasher) : scanned;
  if (status.has_value() != of_whole.has_value()) return "keys first: the request is refused by one only";
  if (!status) return "";
  const auto same = [](const ScannedSeries& a, const ScannedSeries& b) {
    return a.message == b.message && a.labels == b.labels && a.samples == b.samples && a.histograms == b.histograms &&
           a.exemplars == b.exemplars && a.refusal == b.refusal && a.stale_only == b.stale_only;
  };
  if (!std::ranges::equal(scan.series(), whole.series(), same)) return "keys first: other series";
  if (!std::ranges::equal(scan.keys(), whole.keys())) return "keys first: other keys";
  // What a caller relies on: a key that is known needs no examination.
  const std::set<model::Fingerprint> known(whole.keys().begin(), whole.keys().end());
  for (size_t i = 0; i < first.size(); ++i) {
    if (!known.contains(first_keys[i])) continue;
    if (!same(first[i], whole.series()[i])) return format("keys first: series {} is another one once examined", i);
  }
  return "";
}

}  // namespace

Result<PlainRequest> DecodePlain(Schema schema, std::string_view decoded, const SeriesLimits& limits) {
  try {
    return schema == Schema::kV1 ? DecodeV1(decoded, limits) : DecodeV2(decoded, limits);
  } catch (const protozero::exception& fault) {
    return Fail(Errc::kInvalid, format("not a remote write request: {}", fault.what()));
  }
}

Result<PlainRequest> DecodeFast(Schema schema, std::string_view decoded, const SeriesLimits& limits,
                                const model::LocalHasher& hasher, FastPath& path) {
  auto& [scan, canonicalise] = path;
  const Status scanned = scan.Scan(schema, decoded, hasher);
  const std::string disagreement = DisagreementOfDepths(schema, decoded, hasher, scanned, scan);
  if (!disagreement.empty()) return Fail(Errc::kInternal, disagreement);
  if (!scanned) return Fail(scanned.error());
  PlainRequest request;
  std::map<model::Fingerprint, PlainLabels> of_key;
  std::map<std::string_view, model::Fingerprint> of_labels;
  for (size_t i = 0; i < scan.series().size(); ++i) {
    const ScannedSeries& series = scan.series()[i];
    const Canonicaliser::Outcome outcome = canonicalise(scan, series, limits);
    const bool refused = outcome.refusal != Refusal::kNone;
    request.series.push_back({.refused = refused,
                              .canonical = std::string(outcome.canonical),
                              .has_items = series.has_items(),
                              .stale_only = series.stale_only,
                              .samples = series.samples,
                              .histograms = series.histograms,
                              .exemplars = series.exemplars});
    if (refused) canonicalise.Explain(scan, series, limits);
    const model::Fingerprint key = scan.keys()[i];
    if (key == model::Fingerprint() || series.refusal != Refusal::kNone) continue;
    const PlainLabels labels{refused, refused ? "" : std::string(outcome.canonical)};
    if (of_key.try_emplace(key, labels).first->second != labels) {
      return Fail(Errc::kInternal, format("series {} has the key of a series with other labels", i));
    }
    if (of_labels.try_emplace(series.labels, key).first->second != key) {
      return Fail(Errc::kInternal, format("series {} has another key than a series with the same labels", i));
    }
  }
  MetadataBudget budget{.limit = UINT64_MAX};
  for (const ScannedMetadata& entry : scan.metadata()) {
    const auto metadata = scan.Decode(entry, limits, budget);
    if (metadata && !metadata->family.empty()) request.metadata.push_back(*metadata);
  }
  request.refused_items = scan.refused_items();
  return request;
}

std::string FirstDisagreement(Schema schema, std::string_view decoded, const SeriesLimits& limits, FastPath& path) {
  using Engine = model::LocalHashKey::Engine;
  static const model::LocalHashKey kPortable(Engine::kPortable, 1);
  static const model::LocalHashKey kBest(model::LocalHashKey::BestEngine(), 1);
  const bool portable = decoded.size() % 2 == 0;  // the engines take turns
  const model::LocalHasher hasher(portable ? kPortable : kBest, model::Fingerprinter("secret", model::Tenant()));
  const auto fast = DecodeFast(schema, decoded, limits, hasher, path);
  const auto plain = DecodePlain(schema, decoded, limits);
  if (!fast && fast.error().code() == Errc::kInternal) return fast.error().message();
  const bool may_be_too_large = plain && plain->label_bytes > MaxLabelBytes(decoded.size());
  if (!fast && fast.error().code() == Errc::kTooLarge && may_be_too_large) return "";
  if (fast.has_value() != plain.has_value()) {
    return fast ? "only the plain path refuses: " + plain.error().message()
                : "only the fast path refuses: " + fast.error().message();
  }
  if (!fast) return "";
  if (fast->series.size() != plain->series.size()) return "other numbers of series";
  for (size_t i = 0; i < fast->series.size(); ++i) {
    if (fast->series[i] == plain->series[i]) continue;
    return format("series {}: fast {}, plain {}", i, Describe(fast->series[i]), Describe(plain->series[i]));
  }
  if (fast->refused_items != plain->refused_items) {
    return format("refused items: fast {}, plain {}", fast->refused_items, plain->refused_items);
  }
  // The walk ignores metadata that repeats the previous one, so they are compared as sets.
  auto all = [](const std::vector<model::MetricMetadata>& entries) {
    std::set<std::vector<std::string>> set;
    for (const auto& entry : entries) set.insert({entry.family, entry.type, entry.help, entry.unit});
    return set;
  };
  return all(fast->metadata) == all(plain->metadata) ? "" : "other metadata";
}

std::string FirstDisagreement(Schema schema, std::string_view decoded, const SeriesLimits& limits) {
  FastPath path;
  return FirstDisagreement(schema, decoded, limits, path);
}

}  // namespace mi::codec
