// The walks over 1.0 and 2.0 requests. Internal to this room.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "codec/remote_write.h"
#include "codec/wire.h"

namespace mi::codec {

class Walk {
 protected:
  Walk(RequestScan& scan, std::string_view decoded, const model::LocalHasher& hasher, const ScanBounds& bounds)
      : scan_(scan),
        decoded_(decoded),
        hasher_(hasher),
        max_series_(std::min(MaxSeries(decoded.size()), bounds.series)) {}

  // A sample field as nearly every sender writes it:
  //
  //   12 10 | 09 value (8 bytes) | 10 time (6 bytes)
  //
  // with the time in milliseconds, from 1971 to 2109. A value of 0 is absent, and read the general way. Requires:
  // kUsualSampleBytes may be read at `at`.
  static constexpr size_t kUsualSampleBytes = 18;
  [[gnu::always_inline]] static bool IsUsualSample(const char* at) {
    constexpr uint32_t kHead = 0x091012;
    constexpr uint64_t kMore = 0x8080808080;  // another byte follows, in each byte of a varint but the last
    return (wire::Load<uint32_t>(at) & 0xffffff) == kHead && at[11] == 0x10 &&
           (wire::Load<uint64_t>(at + 10) >> 16 & (kMore | uint64_t{0x80} << 40)) == kMore;
  }
  static bool IsUsualSampleStale(const char* at) { return wire::Load<uint64_t>(at + 3) == kStaleMarker; }

  // Each reads one message of the current series. False: the message, and so the request, is broken.
  [[gnu::always_inline]] bool TakeSample(std::string_view message, ScannedSeries& series) {
    uint64_t bits = 0;
    if (!ReadSample(message, bits)) return false;
    ++series.samples;
    active_ |= bits != kStaleMarker;
    return true;
  }
  bool TakeHistogram(std::string_view message, ScannedSeries& series);

  void Begin() { active_ = false; }
  // True if the items since Begin() are only stale markers.
  bool IsStaleOnly(const ScannedSeries& series) const {
    return !active_ && series.exemplars == 0 && (series.samples | series.histograms) != 0;
  }

  // `describe` gives the message; it is called only for the first one of a request, because it costs much more than the
  // item.
  template <typename Describe>
  void RefuseItem(Describe&& describe) {
    if (scan_.refused_items_++ == 0) scan_.first_refused_item_ = describe();
  }
  std::unexpected<Error> Broken(const char* at) const;
  std::unexpected<Error> TooMany(std::string_view what, size_t limit) const;

  RequestScan& scan_;
  std::string_view decoded_;
  const model::LocalHasher& hasher_;
  const size_t max_series_;  // and metadata messages, and histograms

 private:
  // Reads the bits of a Sample's value. The message is the same in 1.0 and 2.0, except for a field that is not needed.
  static bool ReadSample(std::string_view message, uint64_t& bits) {
    const char* at = message.data();
    const char* const end = at + message.size();
    // As every sender writes it: the value, unless it is 0, then the timestamp.
    if (message.size() > 9 && *at == wire::Tag(1, wire::Type::kFixed64)) {
      bits = wire::Load<uint64_t>(at + 1);
      at += 9;
    }
    if (at != end && *at == wire::Tag(2, wire::Type::kVarint)) {
      uint64_t timestamp = 0;
      at = wire::ReadVarint(at + 1, end, timestamp);
    }
    return at == end || ReadOddSample(message, bits);
  }
  static bool ReadOddSample(std::string_view message, uint64_t& bits);

  bool active_ = false;
};

class V1Walk : Walk {
 public:
  V1Walk(RequestScan& scan, std::string_view decoded, const model::LocalHasher& hasher, const ScanBounds& bounds)
      : Walk(scan, decoded, hasher, bounds), depth_(bounds.depth) {}
  Status Run();
  Status Examine(std::span<const uint32_t> series);

 private:
  bool WalkSeries(std::string_view message);
  bool ExamineSeries(ScannedSeries& series, model::Fingerprint& key);
  void TakeUsual(ScannedSeries& series, model::Fingerprint& key, const char* sample);
  bool WalkOddSeries(ScannedSeries& series, model::Fingerprint& key);
  bool TakeItem(uint32_t number, std::string_view message, ScannedSeries& series);
  bool WalkMetadata(std::string_view message);
  bool TakeTopLevel(const wire::Field& field);

  const Depth depth_;
  bool looks_like_v2_ = false;
};

class V2Walk : Walk {
 public:
  // The most bytes of labels that count for one series: the slow path refuses a larger one before it copies anything.
  static constexpr uint64_t kMaxCountedBytes = 64 << 10;

  V2Walk(RequestScan& scan, std::string_view decoded, const model::LocalHasher& hasher, const ScanBounds& bounds)
      : Walk(scan, decoded, hasher, bounds), max_label_bytes_(std::min(scan.max_label_bytes(), bounds.label_bytes)) {}
  Status Run();

 private:
  struct Metadata {
    std::string_view message;
    uint32_t type = 0;
    uint32_t help = 0;
    uint32_t unit = 0;
  };

  Status CollectTopLevel();
  bool TakeUsual(ScannedSeries& series, model::Fingerprint& key);
  bool WalkSeries(ScannedSeries& series);
  bool TakeItem(uint32_t number, std::string_view message, ScannedSeries& series);
  bool TakeExemplar(std::string_view message, ScannedSeries& series);
  bool ReadMetadata(std::string_view message);
  void TakeMetadata(const Metadata& metadata, const ScannedSeries& series);

  // The key of a series whose references are in one piece. All zeros if there is none, or if the references are invalid
  // (then series.refusal or broken_ is set).
  model::Fingerprint MakeKey(ScannedSeries& series);
  void TakeReferences(ScannedSeries& series);
  void CountLabelBytes(uint64_t bytes) { label_bytes_ += std::min(bytes, kMaxCountedBytes); }
  uint32_t MetricNameOf(const ScannedSeries& series) const;

  const uint64_t max_label_bytes_;
  bool looks_like_v1_ = false;
  bool broken_ = false;
  bool references_good_ = true;  // of the current series
  std::array<uint32_t, model::LocalHasher::kMaxSequence> references_;
  uint64_t label_bytes_ = 0;  // of the request so far, with the references resolved
  Metadata metadata_;         // of the current series
  Metadata metadata_read_;    // the last message that was decoded
};

}  // namespace mi::codec
