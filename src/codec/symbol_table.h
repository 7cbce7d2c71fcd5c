// The strings of a 2.0 request, laid out for putting labels together. Internal to this room.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "codec/wire.h"
#include "model/fingerprint.h"

namespace mi::codec {

// The first 8 bytes of a text as a number that compares as the texts do; ties are to be looked at. `end` bounds the
// memory around the text.
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
  // Copies may read so much behind a symbol, and write so much behind its copy.
  static constexpr size_t kCopySlack = 32;

  struct Symbol {
    const char* field;  // its field in the request: tag, length, text
    uint32_t field_size;
    uint32_t text_size;
    std::string_view text() const { return {field + field_size - text_size, text_size}; }
  };

  void Clear();
  // Requires: `field` ends with `text`, and `end` is the end of the request.
  void Add(std::string_view field, std::string_view text, const char* end);

  uint32_t size() const { return static_cast<uint32_t>(symbols_.size()); }
  bool empty() const { return symbols_.empty(); }
  const Symbol& operator[](uint32_t i) const { return symbols_[i]; }
  const Symbol* data() const { return symbols_.data(); }
  const uint64_t* orders() const { return orders_.data(); }
  std::string_view text(uint32_t i) const { return symbols_[i].text(); }
  bool IsMetricName(uint32_t i) const { return orders_[i] == kMetricNameOrder && symbols_[i].text_size == 8; }

  // Whether every field is one byte of tag, a minimal length and the text: then the field, with another tag, is what
  // the canonical form of a label holds.
  bool copyable() const { return copyable_; }
  // Whether kCopySlack bytes of request stand behind every symbol; not so in small ones.
  bool has_slack() const { return has_slack_; }

  // The same for the same text in every request; computed when first asked for.
  uint64_t HashOf(uint32_t i, const model::Fingerprinter& fingerprinter);

 private:
  std::vector<Symbol> symbols_;
  std::vector<uint64_t> orders_;  // apart: only names are asked for theirs
  std::vector<uint64_t> hashes_;  // as far as asked for; 0: not yet
  bool copyable_ = true;
  bool has_slack_ = true;
};

}  // namespace mi::codec
