// The strings of a 2.0 request. Internal to this room.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/restart.h"
#include "codec/wire.h"
#include "model/fingerprint.h"

namespace mi::codec {

// The first 8 bytes of a text as a number. Numbers compare like their texts; if they are equal, the texts must be
// compared. `end`: the end of the memory around the text.
inline uint64_t OrderOf(std::string_view text, const char* end) {
  uint64_t word = 0;
  if (end - text.data() >= 8) {
    word = __builtin_bswap64(wire::Load<uint64_t>(text.data()));
  } else {
    for (size_t i = 0; i < text.size(); ++i) word |= uint64_t{static_cast<unsigned char>(text[i])} << (56 - 8 * i);
  }
  return text.size() >= 8 ? word : text.empty() ? 0 : word & (~uint64_t{0} << (64 - 8 * text.size()));
}

inline constexpr uint64_t kMetricNameOrder = 0x5f5f6e616d655f5f;  // "__name__"

// Threads: confined to one. Ownership: borrows the request.
class SymbolTable {
 public:
  void Clear() {
    Restart(texts_);
    Restart(orders_);
    Restart(hashes_);
  }
  // `end`: the end of the request.
  void Add(std::string_view text, const char* end) {
    texts_.push_back(text);
    orders_.push_back(OrderOf(text, end));
  }

  uint32_t size() const { return static_cast<uint32_t>(texts_.size()); }
  bool empty() const { return texts_.empty(); }
  std::string_view text(uint32_t i) const { return texts_[i]; }
  uint64_t order(uint32_t i) const { return orders_[i]; }  // OrderOf(text(i))
  bool IsMetricName(uint32_t i) const { return orders_[i] == kMetricNameOrder && texts_[i].size() == 8; }

  // The same for the same text in every request. Computed on first use.
  uint64_t HashOf(uint32_t i, const model::Fingerprinter& fingerprinter) {
    if (hashes_.empty()) hashes_.resize(texts_.size());
    if (hashes_[i] == 0) hashes_[i] = Hash(text(i), fingerprinter);
    return hashes_[i];
  }
  // That of a text which need not be a symbol. Never 0.
  static uint64_t Hash(std::string_view text, const model::Fingerprinter& fingerprinter) {
    return fingerprinter(text).lo | 1;
  }

 private:
  std::vector<std::string_view> texts_;
  std::vector<uint64_t> orders_;
  std::vector<uint64_t> hashes_;  // empty until the first use; 0: not computed yet
};

}  // namespace mi::codec
