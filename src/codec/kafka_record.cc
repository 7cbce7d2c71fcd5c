#include "codec/kafka_record.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>

#include "base/format.h"
#include "base/json.h"
#include "codec/wire.h"
#include "model/identity.h"

namespace mi::codec {
namespace {

constexpr int64_t kLastMs = 253'402'300'799'999;  // the end of the year 9999
constexpr size_t kMaxTenants = 4'096;             // whose fingerprinters are kept

std::unexpected<Error> CorruptRecord(std::string_view why) { return Fail(Errc::kCorrupt, std::string(why)); }

void AppendLabel(model::Label label, std::string& out) {
  out += R"({"name":)";
  AppendJsonString(label.name, out);
  out += R"(,"value":)";
  AppendJsonString(label.value, out);
  out.push_back('}');
}

void AppendTenantAndTime(const model::Tenant& tenant, int64_t seen_at_ms, std::string& out) {
  if (!tenant.is_default()) {
    out += R"(,"tenant":)";
    AppendJsonString(tenant.name(), out);
  }
  AppendFormat(out, R"(,"ts":{}}})", seen_at_ms);
}

// The key's beginning: records of two tenants never replace one another in a compacted topic.
void StartKey(const model::Tenant& tenant, std::string& key) {
  key.clear();
  if (tenant.is_default()) return;
  key = tenant.name();
  key.push_back('|');
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
  record.value = R"({"labels":[)";
  bool first = true;
  for (const model::Label& label : labels) {
    if (!std::exchange(first, false)) record.value.push_back(',');
    AppendLabel(label, record.value);
  }
  record.value += R"(],"content":)";
  AppendJsonString(std::string_view(record.key).substr(content_at), record.value);
  AppendTenantAndTime(tenant, seen_at_ms, record.value);
  return {};
}

void EncodeMetadataRecord(const model::Tenant& tenant, int64_t seen_at_ms, const model::MetricMetadata& metadata,
                          KafkaRecordText& record) {
  StartKey(tenant, record.key);
  record.key += "# metadata ";
  record.key += metadata.family;
  // Labels for readers that know no metadata, and that some versions of stumble over a record without labels.
  record.value = R"({"labels":[)";
  AppendLabel({model::kMetricName, metadata.family}, record.value);
  record.value += R"(],"content":)";
  const model::Label name[] = {{model::kMetricName, metadata.family}};
  const Result<model::Labels> labels = model::Labels::FromUnsorted(name);
  AppendJsonString(labels ? model::FormatIdentity(labels->view()) : "{}", record.value);
  record.value += R"(,"metadata":{"family":)";
  AppendJsonString(metadata.family, record.value);
  record.value += R"(,"type":)";
  AppendJsonString(metadata.type, record.value);
  record.value += R"(,"help":)";
  AppendJsonString(metadata.help, record.value);
  record.value += R"(,"unit":)";
  AppendJsonString(metadata.unit, record.value);
  record.value.push_back('}');
  AppendTenantAndTime(tenant, seen_at_ms, record.value);
}

// One document at a time. Each Take* gives nothing after noting why.
class KafkaRecordDecoder::Parser {
 public:
  Result<KafkaRecord> Parse(std::string_view value, int64_t record_time_ms) {
    padded_.assign(value);
    padded_.append(simdjson::SIMDJSON_PADDING, '\0');
    labels_.clear();
    fault_.clear();
    simdjson::dom::element document;
    if (const auto error = json_.parse(padded_.data(), value.size(), false).get(document); error != simdjson::SUCCESS) {
      return CorruptRecord(format("no JSON: {}", simdjson::error_message(error)));
    }
    simdjson::dom::object object;
    if (document.get(object) != simdjson::SUCCESS) return CorruptRecord("no JSON object");
    KafkaRecord record;
    record.seen_at_ms = record_time_ms;
    bool has_labels = false;
    for (const auto& [key, field] : object) {
      if (key == "labels") {
        if (std::exchange(has_labels, true)) return CorruptRecord("labels stand twice");
        TakeLabels(field);
      } else if (key == "tenant") {
        TakeTenant(field, record.tenant);
      } else if (key == "ts") {
        // What is no time is no reason to lose a series: the broker's time is near.
        int64_t ts = 0;
        if (field.get(ts) == simdjson::SUCCESS && ts >= 0 && ts <= kLastMs) record.seen_at_ms = ts;
      } else if (key == "metadata" && !field.is_null()) {
        TakeMetadata(field, record.metadata.emplace());
      }
      if (!fault_.empty()) return CorruptRecord(fault_);
    }
    if (record.metadata) return record;
    return WithLabels(std::move(record), has_labels);
  }

 private:
  Result<KafkaRecord> WithLabels(KafkaRecord record, bool has_labels) {
    if (!has_labels) return CorruptRecord("no labels");
    Result<model::Labels> labels = model::Labels::FromUnsorted(labels_);
    if (!labels) return CorruptRecord(labels.error().message());
    if (labels->view().empty()) return CorruptRecord("no label that has a value");
    if (labels->canonical().size() > kMaxRecordSeriesBytes) {
      return CorruptRecord(format("a series of {}, limit {} (fixed)", FormatBytes(labels->canonical().size()),
                                  FormatBytes(kMaxRecordSeriesBytes)));
    }
    record.labels = std::move(*labels);
    return record;
  }

  void TakeLabels(simdjson::dom::element field) {
    simdjson::dom::array array;
    if (field.get(array) != simdjson::SUCCESS) return Fault("labels are no list");
    for (const simdjson::dom::element element : array) {
      simdjson::dom::object object;
      if (element.get(object) != simdjson::SUCCESS) return Fault("a label is no object");
      model::Label label;
      for (const auto& [key, text] : object) {
        if (key == "name") label.name = TakeText(text, "a label's name");
        if (key == "value") label.value = TakeText(text, "a label's value");
      }
      if (!fault_.empty()) return;
      if (label.name.empty()) return Fault("a label has no name");
      if (labels_.size() == kMaxRecordLabels) return Fault(format("more than {} labels (fixed)", kMaxRecordLabels));
      labels_.push_back(label);
    }
  }

  void TakeTenant(simdjson::dom::element field, model::Tenant& tenant) {
    if (field.is_null()) return;
    const std::string_view text = TakeText(field, "the tenant");
    if (!fault_.empty()) return;
    Result<model::Tenant> parsed = model::Tenant::Parse(text);
    if (!parsed) return Fault(parsed.error().message());
    tenant = std::move(*parsed);
  }

  void TakeMetadata(simdjson::dom::element field, model::MetricMetadata& metadata) {
    simdjson::dom::object object;
    if (field.get(object) != simdjson::SUCCESS) return Fault("metadata is no object");
    for (const auto& [key, text] : object) {
      if (key == "family") metadata.family = TakeText(text, "metadata's family");
      if (key == "type") metadata.type = TakeText(text, "metadata's type");
      if (key == "help") metadata.help = TakeText(text, "metadata's help");
      if (key == "unit") metadata.unit = TakeText(text, "metadata's unit");
    }
    if (metadata.family.empty()) Fault("metadata of no family");
    metadata.type = KnownType(metadata.type);
  }

  // Valid until the next document, and UTF-8: simdjson takes nothing else, not even escaped halves of surrogate pairs.
  // null is ''.
  std::string_view TakeText(simdjson::dom::element field, std::string_view what) {
    std::string_view text;
    if (field.is_null()) return text;
    if (field.get(text) != simdjson::SUCCESS) Fault(format("{} is no text", what));
    return text;
  }

  void Fault(std::string why) {
    if (fault_.empty()) fault_ = std::move(why);
  }

  simdjson::dom::parser json_;
  std::string padded_;
  std::vector<model::Label> labels_;  // views into the document
  std::string fault_;
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
  if (bytes.size() < kActivityHeaderBytes)
    return CorruptRecord(format("{} bytes are no activity record", bytes.size()));
  if (bytes[0] != kActivityVersion) {
    return CorruptRecord(
        format("version {}, this program reads {}", static_cast<unsigned char>(bytes[0]), int{kActivityVersion}));
  }
  const std::string_view rest = bytes.substr(kActivityHeaderBytes);
  if (rest.size() % 16 != 0) return CorruptRecord("its last fingerprint is cut short");
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
