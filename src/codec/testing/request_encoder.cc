#include "codec/testing/request_encoder.h"

#include <snappy.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <protozero/pbf_writer.hpp>
#include <unordered_map>

namespace mi::codec {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

uint32_t MetricTypeNumber(std::string_view type) {
  const auto found = std::ranges::find(model::kMetricTypes, type);
  return found == model::kMetricTypes.end() ? 0 : static_cast<uint32_t>(found - model::kMetricTypes.begin());
}

void WriteSample(protozero::pbf_writer out, const WireSample& sample) {
  if (std::bit_cast<uint64_t>(sample.value) != 0) out.add_double(1, sample.value);  // as proto3 does
  out.add_int64(2, sample.timestamp_ms);
}

void WriteSpans(protozero::pbf_writer& out, uint32_t number, const std::vector<BucketSpan>& spans) {
  for (const BucketSpan& span : spans) {
    protozero::pbf_writer inner(out, number);
    inner.add_sint32(1, span.offset);
    inner.add_uint32(2, span.length);
  }
}

void WriteHistogram(protozero::pbf_writer out, const Histogram& h) {
  if (h.is_float) {
    out.add_double(2, h.float_count);
    out.add_double(7, h.float_zero_count);
  } else {
    out.add_uint64(1, h.count);
    out.add_uint64(6, h.zero_count);
  }
  out.add_double(3, h.sum);
  out.add_sint32(4, h.schema);
  out.add_double(5, h.zero_threshold);
  WriteSpans(out, 8, h.negative.spans);
  out.add_packed_sint64(9, h.negative.deltas.begin(), h.negative.deltas.end());
  out.add_packed_double(10, h.negative.counts.begin(), h.negative.counts.end());
  WriteSpans(out, 11, h.positive.spans);
  out.add_packed_sint64(12, h.positive.deltas.begin(), h.positive.deltas.end());
  out.add_packed_double(13, h.positive.counts.begin(), h.positive.counts.end());
  out.add_int64(15, h.timestamp_ms);
  out.add_packed_double(16, h.custom_values.begin(), h.custom_values.end());
}

void WriteLabelsV1(protozero::pbf_writer& out, const Pairs& labels) {
  for (const auto& [name, value] : labels) {
    protozero::pbf_writer label(out, 1);
    label.add_string(1, name);
    label.add_string(2, value);
  }
}

}  // namespace

struct RequestEncoder::State {
  std::string series;   // the fields of the series and of 1.0's metadata
  std::string symbols;  // 2.0: the fields of the table, in order
  std::unordered_map<std::string, uint32_t> known;

  uint32_t SymbolOf(const std::string& text) {
    const auto [at, is_new] = known.try_emplace(text, static_cast<uint32_t>(known.size()));
    if (is_new) protozero::pbf_writer(symbols).add_string(4, text);
    return at->second;
  }
  void WriteReferences(protozero::pbf_writer& out, const Pairs& labels) {
    std::vector<uint32_t> references;
    for (const auto& [name, value] : labels) {
      references.push_back(SymbolOf(name));
      references.push_back(SymbolOf(value));
    }
    out.add_packed_uint32(1, references.begin(), references.end());
  }
};

RequestEncoder::RequestEncoder(Schema schema) : schema_(schema), state_(std::make_unique<State>()) {
  if (schema == Schema::kV2) state_->SymbolOf("");
}
RequestEncoder::~RequestEncoder() = default;
RequestEncoder::RequestEncoder(RequestEncoder&&) noexcept = default;
RequestEncoder& RequestEncoder::operator=(RequestEncoder&&) noexcept = default;

void RequestEncoder::Add(const WireSeries& series) {
  const bool v1 = schema_ == Schema::kV1;
  protozero::pbf_writer request(state_->series);
  protozero::pbf_writer out(request, v1 ? 1 : 5);
  if (v1) {
    WriteLabelsV1(out, series.labels);
  } else {
    state_->WriteReferences(out, series.labels);
  }
  for (const WireSample& sample : series.samples) WriteSample(protozero::pbf_writer(out, 2), sample);
  for (const Histogram& histogram : series.histograms) {
    WriteHistogram(protozero::pbf_writer(out, v1 ? 4 : 3), histogram);
  }
  for (const WireExemplar& exemplar : series.exemplars) {
    protozero::pbf_writer inner(out, v1 ? 3 : 4);
    if (v1) {
      WriteLabelsV1(inner, exemplar.labels);
    } else {
      state_->WriteReferences(inner, exemplar.labels);
    }
    inner.add_double(2, exemplar.value);
    inner.add_int64(3, exemplar.timestamp_ms);
  }
  if (!v1 && series.metadata) {
    protozero::pbf_writer inner(out, 5);
    inner.add_enum(1, static_cast<int32_t>(MetricTypeNumber(series.metadata->type)));
    inner.add_uint32(3, state_->SymbolOf(series.metadata->help));
    inner.add_uint32(4, state_->SymbolOf(series.metadata->unit));
  }
}

void RequestEncoder::AddMetadata(const model::MetricMetadata& metadata) {
  protozero::pbf_writer request(state_->series);
  protozero::pbf_writer out(request, 3);
  out.add_enum(1, static_cast<int32_t>(MetricTypeNumber(metadata.type)));
  out.add_string(2, metadata.family);
  out.add_string(4, metadata.help);
  out.add_string(5, metadata.unit);
}

std::string RequestEncoder::Finish() {
  std::string request = std::move(state_->symbols) + state_->series;
  *this = RequestEncoder(schema_);
  return request;
}

std::string Compress(Compression compression, std::string_view raw) {
  std::string out;
  if (compression == Compression::kSnappy) {
    snappy::Compress(raw.data(), raw.size(), &out);
    return out;
  }
  out.resize(ZSTD_compressBound(raw.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), /*level=*/1));
  return out;
}

std::string ZstdOfWindow(int log, std::string_view raw) {
  std::string frame = "\x28\xb5\x2f\xfd";
  frame.push_back('\0');
  frame.push_back(static_cast<char>((log - 10) << 3));
  const size_t block = raw.size() << 3 | 1;
  for (const int shift : {0, 8, 16}) frame.push_back(static_cast<char>(block >> shift));
  return frame + std::string(raw);
}

}  // namespace mi::codec
