#include "codec/journal_batch.h"

#include <zstd.h>

#include <algorithm>
#include <array>

#include "base/format.h"
#include "base/varint.h"
#include "codec/wire.h"
#include "model/fingerprint.h"

// A row (docs/formats/journal-batch.md):
//
//   0         1          9        13
//   | version | checksum | series | fingerprints, 16 bytes each | zstd frame: the batches one after the other |
//                        |--------------------------- covered by the checksum --------------------------------|
//
// Fingerprints are outside the frame: they are hashes, which do not compress. They are taken by all batches in order,
// so after the last batch none may be left. The decoder checks the checksum first. Still it trusts no length behind it:
// each read is bounded by the bytes that are left, so a row that was written wrong is kCorrupt and nothing worse.
namespace mi::codec {
namespace {

constexpr char kVersion = 1;
constexpr size_t kChecksumAt = 1;
constexpr size_t kCountAt = kChecksumAt + 8;
constexpr size_t kFingerprintsAt = kCountAt + 4;
constexpr size_t kFingerprintBytes = 16;
constexpr int kLevel = 1;

// XXH3 over everything after the checksum, at 20 GB/s. zstd's own checksum would not cover the fingerprints.
uint64_t Checksum(std::string_view row) {
  static const model::Fingerprinter kHash("journal row", model::Tenant());
  return kHash(row.substr(kCountAt)).lo;
}

template <typename T>
void Store(T value, char* at) {
  std::memcpy(at, &value, sizeof value);
}

void AppendText(std::string_view text, std::string& out) {
  AppendVarint(text.size(), out);
  out.append(text);
}

void AppendBatch(const model::SeriesBatch& batch, std::string& out) {
  AppendText(batch.tenant().name(), out);
  AppendVarint(static_cast<uint64_t>(batch.seen_at_ms()), out);
  AppendVarint(batch.size(), out);
  AppendVarint(batch.metadata().size(), out);
  for (size_t i = 0; i < batch.size(); ++i) AppendText(batch[i].labels.canonical(), out);
  for (const model::MetricMetadata& metadata : batch.metadata()) {
    for (const std::string* text : {&metadata.family, &metadata.type, &metadata.help, &metadata.unit}) {
      AppendText(*text, out);
    }
  }
}

std::unexpected<Error> CorruptRow(std::string_view what) {
  return Fail(Errc::kCorrupt, format("journal row: {}", what));
}

// Reads what AppendBatch wrote. After a fault at_ is null, and every Take* returns nothing.
class BatchReader {
 public:
  BatchReader(std::string_view plain, std::string_view fingerprints)
      : at_(plain.data()), end_(at_ + plain.size()), fingerprints_(fingerprints) {}

  Result<std::vector<model::SeriesBatch>> ReadAll() {
    std::vector<model::SeriesBatch> batches;
    for (uint64_t left = TakeVarint(); left > 0; --left) {
      batches.push_back(TRY(ReadBatch()));
    }
    if (at_ == nullptr) return CorruptRow("truncated");
    if (at_ != end_ || !fingerprints_.empty()) return CorruptRow("bytes left over");
    return batches;
  }

 private:
  Result<model::SeriesBatch> ReadBatch() {
    const std::string_view tenant_name = TakeText();
    const auto tenant = model::Tenant::Parse(tenant_name);
    if (at_ == nullptr) return CorruptRow("truncated");
    if (!tenant || tenant->name() != tenant_name) return CorruptRow("its tenant is invalid");
    const auto seen_at_ms = static_cast<int64_t>(TakeVarint());
    const uint64_t series = TakeVarint();
    const uint64_t metadata = TakeVarint();
    model::SeriesBatch batch(*tenant, seen_at_ms);
    Reserve(series, batch);
    for (uint64_t i = 0; i < series && at_ != nullptr; ++i) {
      const std::string_view canonical = TakeText();
      if (fingerprints_.size() < kFingerprintBytes) return CorruptRow("fewer fingerprints than series");
      if (at_ == nullptr || !model::IsCanonical(canonical)) return CorruptRow("labels that are not canonical");
      batch.Add(model::Fingerprint::FromBytes(fingerprints_.substr(0, kFingerprintBytes)), canonical);
      fingerprints_.remove_prefix(kFingerprintBytes);
    }
    for (uint64_t i = 0; i < metadata && at_ != nullptr; ++i) {
      model::MetricMetadata entry;
      for (std::string* text : {&entry.family, &entry.type, &entry.help, &entry.unit}) *text = TakeText();
      batch.AddMetadata(std::move(entry));
    }
    if (at_ == nullptr) return CorruptRow("truncated");
    return batch;
  }

  // Makes room for as many series as the row can have, and for their share of its bytes.
  void Reserve(uint64_t series, model::SeriesBatch& batch) const {
    const size_t left = fingerprints_.size() / kFingerprintBytes;
    if (at_ == nullptr || left == 0) return;
    const size_t count = std::min<size_t>(series, left);
    batch.Reserve(count, static_cast<size_t>(end_ - at_) * count / left);
  }
  uint64_t TakeVarint() {
    uint64_t value = 0;
    if (at_ != nullptr) at_ = wire::ReadVarint(at_, end_, value);
    return at_ == nullptr ? 0 : value;
  }
  std::string_view TakeText() {
    std::string_view text;
    if (at_ != nullptr) at_ = wire::ReadBytes(at_, end_, text);
    return at_ == nullptr ? std::string_view() : text;
  }

  const char* at_;
  const char* end_;
  std::string_view fingerprints_;
};

}  // namespace

Result<std::string_view> JournalEncoder::Encode(std::span<const model::SeriesBatch* const> batches) {
  size_t series = 0;
  plain_.clear();
  AppendVarint(batches.size(), plain_);
  for (const model::SeriesBatch* batch : batches) {
    series += batch->size();
    AppendBatch(*batch, plain_);
  }
  if (plain_.size() > kMaxJournalRowBytes || series > UINT32_MAX) {
    return Fail(Errc::kTooLarge, format("a journal row of {}, limit {} (fixed)", FormatBytes(plain_.size()),
                                        FormatBytes(kMaxJournalRowBytes)));
  }
  const size_t frame_at = kFingerprintsAt + series * kFingerprintBytes;
  size_t frame = 0;
  row_.clear();
  // Not resize(), which would write zeros first.
  row_.resize_and_overwrite(frame_at + ZSTD_compressBound(plain_.size()), [&](char* row, size_t capacity) {
    char* at = row + kFingerprintsAt;
    for (const model::SeriesBatch* batch : batches) {
      for (size_t i = 0; i < batch->size(); ++i, at += kFingerprintBytes) {
        const auto bytes = (*batch)[i].fingerprint.ToBytes();
        std::memcpy(at, bytes.data(), bytes.size());
      }
    }
    frame = ZSTD_compressCCtx(zstd_.get(), at, capacity - frame_at, plain_.data(), plain_.size(), kLevel);
    return ZSTD_isError(frame) ? 0 : frame_at + frame;
  });
  if (ZSTD_isError(frame)) {
    return Fail(Errc::kInternal, format("compress a journal row: {}", ZSTD_getErrorName(frame)));
  }
  row_[0] = kVersion;
  Store(static_cast<uint32_t>(series), row_.data() + kCountAt);
  Store(Checksum(row_), row_.data() + kChecksumAt);
  return std::string_view(row_);
}

Result<std::vector<model::SeriesBatch>> JournalDecoder::Decode(std::string_view row) {
  if (row.size() < kFingerprintsAt) return CorruptRow(format("{} bytes are too few for a row", row.size()));
  if (row[0] != kVersion) {
    return CorruptRow(format("version {}, this program reads {}", static_cast<unsigned char>(row[0]), int{kVersion}));
  }
  if (Checksum(row) != wire::Load<uint64_t>(row.data() + kChecksumAt)) return CorruptRow("wrong checksum");
  const uint64_t series = wire::Load<uint32_t>(row.data() + kCountAt);
  if (series * kFingerprintBytes > row.size() - kFingerprintsAt) return CorruptRow("fewer fingerprints than series");
  const std::string_view fingerprints = row.substr(kFingerprintsAt, series * kFingerprintBytes);
  const std::string_view frame = row.substr(kFingerprintsAt + fingerprints.size());
  const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size > kMaxJournalRowBytes) return CorruptRow("no zstd frame of a valid size");
  if (size > plain_capacity_ || !plain_) {
    plain_ = std::make_unique_for_overwrite<char[]>(size);
    plain_capacity_ = size;
  }
  const size_t written = ZSTD_decompressDCtx(zstd_.get(), plain_.get(), size, frame.data(), frame.size());
  if (ZSTD_isError(written)) return CorruptRow(ZSTD_getErrorName(written));
  return BatchReader({plain_.get(), written}, fingerprints).ReadAll();
}

}  // namespace mi::codec
