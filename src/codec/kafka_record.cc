#include "codec/kafka_record.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "codec/wire.h"
#include "model/identity.h"

namespace mi::codec {
namespace {

constexpr int64_t kLastMs = 253'402'300'799'999;  // the end of the year 9999
constexpr size_t kMaxTenants = 4'096;             // whose Fingerprinters are kept

std::unexpected<Error> CorruptRecord(std::string_view why) { return Fail(Errc::kCorrupt, std::string(why)); }

// Appends `before`, which is JSON, and then `text` as a JSON string.
void AppendField(std::string_view before, std::string_view text, std::string& out) {
  out += before;
  AppendJsonString(text, out);
}

void AppendLabel(model::Label label, std::string& out) {
  AppendField(R"({"name":)", label.name, out);
  AppendField(R"(,"value":)", label.value, out);
  out.push_back('}');
}

void AppendTenantAndTime(const model::Tenant& tenant, int64_t seen_at_ms, std::string& out) {
  if (!tenant.is_default()) AppendField(R"(,"tenant":)", tenant.name(), out);
  AppendFormat(out, R"(,"ts":{}}})", seen_at_ms);
}

// The key begins with the tenant: so records of two tenants never replace each other in a compacted topic.
void StartKey(const model::Tenant& tenant, std::string& key) {
  key.clear();
  if (tenant.is_default()) return;
  key = tenant.name();
  key.push_back('|');
}

// Whether JSON shows `text` as it is, except for quotes: ASCII without '\\' and control characters. Eight bytes at a
// time. Only whether a high bit is set counts: a borrow may also set bits above the lowest one that is right.
bool IsPlain(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const auto special = [](uint64_t word) {
    const uint64_t backslash = word ^ (kOnes * '\\');
    return word | ((word - kOnes * ' ') & ~word) | ((backslash - kOnes) & ~backslash);
  };
  const char* at = text.data();
  size_t left = text.size();
  uint64_t found = 0;
  for (; left >= sizeof(uint64_t); at += sizeof(uint64_t), left -= sizeof(uint64_t)) {
    found |= special(wire::Load<uint64_t>(at));
  }
  uint64_t rest = kOnes * ' ';
  std::memcpy(&rest, at, left);
  return ((found | special(rest)) & (kOnes << 7)) == 0;
}

// Writes at `to` and returns the position after what it wrote.
char* Write(std::string_view text, char* to) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

// Nearly all series consist of texts that need no escapes. The identity shows that: it contains all of them, and has a
// backslash if one of them has a quote or a backslash. Then only its own quotes are escaped. The size of the value is
// bounded before it is written, so no piece is checked for room, which halves the time. The bound: in canonical form
// each label has at least 6 bytes around its two texts, and here fewer than 4 times as many. Returns false, and writes
// nothing, for other series.
bool WritePlainSeries(model::LabelsView labels, std::string_view content, std::string& value) {
  constexpr std::string_view kBegin = R"({"labels":[)";
  constexpr std::string_view kName = R"({"name":")";
  constexpr std::string_view kValue = R"(","value":")";
  constexpr std::string_view kLabelEnd = R"("},)";
  constexpr std::string_view kContent = R"(],"content":")";
  static_assert(kName.size() + kValue.size() + kLabelEnd.size() < 6 * 4);
  if (!IsPlain(content)) return false;
  const size_t most = kBegin.size() + 4 * labels.canonical().size() + kContent.size() + 2 * content.size() + 1;
  value.resize_and_overwrite(most, [&](char* const begin, size_t) {
    char* to = Write(kBegin, begin);
    for (const model::Label& label : labels) {
      to = Write(kName, to);
      to = Write(label.name, to);
      to = Write(kValue, to);
      to = Write(label.value, to);
      to = Write(kLabelEnd, to);
    }
    if (!labels.empty()) --to;  // the last comma
    to = Write(kContent, to);
    for (;;) {
      const size_t quote = content.find('"');
      to = Write(content.substr(0, quote), to);
      if (quote == std::string_view::npos) break;
      to = Write(R"(\")", to);
      content.remove_prefix(quote + 1);
    }
    *to++ = '"';
    return static_cast<size_t>(to - begin);
  });
  return true;
}

void WriteSeries(model::LabelsView labels, std::string_view content, std::string& value) {
  value = R"({"labels":[)";
  bool first = true;
  for (const model::Label& label : labels) {
    if (!std::exchange(first, false)) value.push_back(',');
    AppendLabel(label, value);
  }
  AppendField(R"(],"content":)", content, value);
}

std::string KnownType(std::string_view type) {
  const bool is_known = std::ranges::find(model::kMetricTypes, type) != model::kMetricTypes.end();
  return std::string(is_known ? type : model::kMetricTypes[0]);
}

template <typename T>
void AppendLittleEndian(T value, std::string& out) {
  for (size_t i = 0; i < sizeof value; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

constexpr char kActivityVersion = 1;

}  // namespace

Status EncodeSeriesRecord(const model::Tenant& tenant, int64_t seen_at_ms, model::LabelsView labels,
                          KafkaRecordText& record) {
  if (labels.canonical().size() > kMaxRecordSeriesBytes) {
    return Fail(Errc::kTooLarge, format("a series of {}, limit {} in a Kafka record (fixed)",
                                        FormatBytes(labels.canonical().size()), FormatBytes(kMaxRecordSeriesBytes)));
  }
  StartKey(tenant, record.key);
  const size_t content_at = record.key.size();
  model::AppendIdentity(labels, record.key);
  const std::string_view content = std::string_view(record.key).substr(content_at);
  if (!WritePlainSeries(labels, content, record.value)) WriteSeries(labels, content, record.value);
  AppendTenantAndTime(tenant, seen_at_ms, record.value);
  return {};
}

void EncodeMetadataRecord(const model::Tenant& tenant, int64_t seen_at_ms, const model::MetricMetadata& metadata,
                          KafkaRecordText& record) {
  StartKey(tenant, record.key);
  record.key += "# metadata ";
  record.key += metadata.family;
  // "labels" and "content" are for readers that do not know metadata: some versions fail on a record without labels.
  record.value = R"({"labels":[)";
  const model::Label name[] = {{model::kMetricName, metadata.family}};
  AppendLabel(name[0], record.value);
  const Result<model::Labels> labels = model::Labels::FromUnsorted(name);
  AppendField(R"(],"content":)", labels ? model::FormatIdentity(labels->view()) : "{}", record.value);
  AppendField(R"(,"metadata":{"family":)", metadata.family, record.value);
  AppendField(R"(,"type":)", metadata.type, record.value);
  AppendField(R"(,"help":)", metadata.help, record.value);
  AppendField(R"(,"unit":)", metadata.unit, record.value);
  record.value.push_back('}');
  AppendTenantAndTime(tenant, seen_at_ms, record.value);
}

// Parses one document at a time. simdjson reads a little beyond the end of its input, so the value is copied to a
// buffer with padding. Labels are views into the document until MakeLabels copies them. Records come from other
// programs and versions: unknown keys are skipped, and the fingerprint is computed from the labels, not believed. The
// fields may come in any order, so metadata is decided on only after the last one. Linear in the record; the labels are
// sorted.
class KafkaRecordDecoder::Parser {
 public:
  Result<KafkaRecord> Parse(std::string_view value, int64_t record_time_ms) {
    padded_.assign(value);
    padded_.append(simdjson::SIMDJSON_PADDING, '\0');
    labels_.clear();
    simdjson::dom::element document;
    if (const auto error = json_.parse(padded_.data(), value.size(), false).get(document); error != simdjson::SUCCESS) {
      return CorruptRecord(format("not JSON: {}", simdjson::error_message(error)));
    }
    simdjson::dom::object object;
    if (document.get(object) != simdjson::SUCCESS) return CorruptRecord("not a JSON object");
    KafkaRecord record;
    record.seen_at_ms = record_time_ms;
    bool has_labels = false;
    for (const auto& [key, field] : object) {
      if (key == "labels") {
        if (std::exchange(has_labels, true)) return CorruptRecord("labels occur twice");
        TRY(ReadLabels(field));
      } else if (key == "tenant") {
        record.tenant = TRY(ReadTenant(field));
      } else if (key == "ts") {
        // An invalid time is no reason to lose the series: the broker's time is close to it.
        int64_t ts = 0;
        if (field.get(ts) == simdjson::SUCCESS && ts >= 0 && ts <= kLastMs) record.seen_at_ms = ts;
      } else if (key == "metadata" && !field.is_null()) {
        record.metadata = TRY(ReadMetadata(field));
      }
    }
    if (record.metadata) return record;
    if (!has_labels) return CorruptRecord("no labels");
    record.labels = TRY(MakeLabels());
    return record;
  }

 private:
  Result<model::Labels> MakeLabels() {
    Result<model::Labels> labels = model::Labels::FromUnsorted(labels_);
    if (!labels) return CorruptRecord(labels.error().message());
    if (labels->view().empty()) return CorruptRecord("no label with a value");
    if (const size_t size = labels->canonical().size(); size > kMaxRecordSeriesBytes) {
      return CorruptRecord(
          format("a series of {}, limit {} (fixed)", FormatBytes(size), FormatBytes(kMaxRecordSeriesBytes)));
    }
    return labels;
  }

  Status ReadLabels(simdjson::dom::element field) {
    simdjson::dom::array array;
    if (field.get(array) != simdjson::SUCCESS) return CorruptRecord("labels are not a list");
    for (const simdjson::dom::element element : array) {
      simdjson::dom::object object;
      if (element.get(object) != simdjson::SUCCESS) return CorruptRecord("a label is not an object");
      model::Label label;
      for (const auto& [key, text] : object) {
        if (key == "name") label.name = TRY(ReadText(text, "the name of a label"));
        if (key == "value") label.value = TRY(ReadText(text, "the value of a label"));
      }
      if (label.name.empty()) return CorruptRecord("a label has no name");
      if (labels_.size() == kMaxRecordLabels) {
        return CorruptRecord(format("more than {} labels (fixed)", kMaxRecordLabels));
      }
      labels_.push_back(label);
    }
    return {};
  }

  static Result<model::Tenant> ReadTenant(simdjson::dom::element field) {
    Result<model::Tenant> tenant = model::Tenant::Parse(TRY(ReadText(field, "the tenant")));
    if (!tenant) return CorruptRecord(tenant.error().message());
    return tenant;
  }

  static Result<model::MetricMetadata> ReadMetadata(simdjson::dom::element field) {
    simdjson::dom::object object;
    if (field.get(object) != simdjson::SUCCESS) return CorruptRecord("metadata is not an object");
    model::MetricMetadata metadata;
    for (const auto& [key, text] : object) {
      if (key == "family") metadata.family = TRY(ReadText(text, "the family of metadata"));
      if (key == "type") metadata.type = TRY(ReadText(text, "the type of metadata"));
      if (key == "help") metadata.help = TRY(ReadText(text, "the help of metadata"));
      if (key == "unit") metadata.unit = TRY(ReadText(text, "the unit of metadata"));
    }
    if (metadata.family.empty()) return CorruptRecord("metadata without a family");
    metadata.type = KnownType(metadata.type);
    return metadata;
  }

  // null is ''. Valid until the next document. The text is UTF-8: simdjson accepts nothing else, not even escaped
  // halves of surrogate pairs.
  static Result<std::string_view> ReadText(simdjson::dom::element field, std::string_view what) {
    std::string_view text;
    if (!field.is_null() && field.get(text) != simdjson::SUCCESS)
      return CorruptRecord(format("{} is not a text", what));
    return text;
  }

  simdjson::dom::parser json_;
  std::string padded_;
  std::vector<model::Label> labels_;  // views into the document
};

KafkaRecordDecoder::KafkaRecordDecoder(std::string identity_secret)
    : identity_secret_(std::move(identity_secret)), parser_(std::make_unique<Parser>()) {}
KafkaRecordDecoder::~KafkaRecordDecoder() = default;

Result<KafkaRecord> KafkaRecordDecoder::Decode(std::string_view value, int64_t record_time_ms) {
  Result<KafkaRecord> record = parser_->Parse(value, record_time_ms);
  if (record && !record->metadata) record->fingerprint = FingerprinterOf(record->tenant)(record->labels.canonical());
  return record;
}

const model::Fingerprinter& KafkaRecordDecoder::FingerprinterOf(const model::Tenant& tenant) {
  if (const auto found = fingerprinters_.find(tenant); found != fingerprinters_.end()) return found->second;
  if (fingerprinters_.size() == kMaxTenants) fingerprinters_.clear();
  return fingerprinters_.try_emplace(tenant, identity_secret_, tenant).first->second;
}

std::string EncodeActivityRecord(const ActivityRecord& record) {
  std::string bytes;
  bytes.reserve(kActivityHeaderBytes + record.fingerprints.size() * 16);
  bytes.push_back(kActivityVersion);
  AppendLittleEndian(record.window_s, bytes);
  AppendLittleEndian(record.seen_at_s, bytes);
  AppendLittleEndian(record.secret_check, bytes);
  for (const model::Fingerprint& fingerprint : record.fingerprints) {
    const auto canonical = fingerprint.ToBytes();
    bytes.append(canonical.data(), canonical.size());
  }
  return bytes;
}

Result<ActivityRecord> DecodeActivityRecord(std::string_view bytes, std::vector<model::Fingerprint>& fingerprints) {
  if (bytes.size() < kActivityHeaderBytes) {
    return CorruptRecord(format("{} bytes are too few for an activity record", bytes.size()));
  }
  if (bytes[0] != kActivityVersion) {
    return CorruptRecord(
        format("version {}, this program reads {}", static_cast<unsigned char>(bytes[0]), int{kActivityVersion}));
  }
  const std::string_view rest = bytes.substr(kActivityHeaderBytes);
  if (rest.size() % 16 != 0) return CorruptRecord("the last fingerprint is truncated");
  fingerprints.clear();
  for (size_t at = 0; at < rest.size(); at += 16) {
    fingerprints.push_back(model::Fingerprint::FromBytes(rest.substr(at, 16)));
  }
  return ActivityRecord{.window_s = wire::Load<uint32_t>(bytes.data() + 1),
                        .seen_at_s = wire::Load<uint64_t>(bytes.data() + 5),
                        .secret_check = wire::Load<uint64_t>(bytes.data() + 13),
                        .fingerprints = fingerprints};
}

}  // namespace mi::codec
