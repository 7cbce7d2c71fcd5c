#include "codec/label_pieces.h"

#include <algorithm>
#include <bit>

#include "base/varint.h"

namespace mi::codec {
namespace {

constexpr size_t kCapacity = 512 << 10;
constexpr size_t kMinSlots = 1 << 8;
constexpr size_t kMaxSlots = 1 << 16;

// `size`: at most kMaxPieceBytes.
char* AppendHead(char tag, size_t size, char* out) {
  *out++ = tag;
  if (size >= 0x80) *out++ = static_cast<char>(size | 0x80);
  *out++ = static_cast<char>(size >= 0x80 ? size >> 7 : size);
  return out;
}

char* AppendText(char tag, std::string_view text, char* out) {
  return std::ranges::copy(text, AppendHead(tag, text.size(), out)).out;
}

}  // namespace

void LabelPieces::Begin(const SymbolTable& table) {
  table_ = &table;
  slots_.assign(std::clamp(std::bit_ceil(size_t{table.size()} * 2), kMinSlots, kMaxSlots), Piece());
  mask_ = static_cast<uint32_t>(slots_.size() - 1);
  used_ = 0;
  if (!bytes_) bytes_ = std::make_unique_for_overwrite<char[]>(kCapacity);
}

// Builds the canonical field of a label behind the pieces that were built before:
//
//   bytes_:  [piece][piece] ... [0a len | 0a len name | 12 len value]  free ...............
//                               ^ begin                              ^ end
//
// Pieces are never freed one by one. A piece that lost its slot stays as garbage; if less than two of the largest
// pieces would fit, all slots are emptied and building begins at the front again. The margin also covers Append, which
// reads in steps of kCopyStep and so beyond the end of a piece. Emptying costs time for all slots, but comes only after
// about 500 KiB of new pieces.
const LabelPieces::Piece* LabelPieces::Make(uint32_t name, uint32_t value, Piece& slot) {
  if (std::max(name, value) >= table_->size()) return nullptr;
  const std::string_view name_text = table_->text(name);
  const std::string_view value_text = table_->text(value);
  if (std::max(name_text.size(), value_text.size()) > kMaxSymbolBytes || value_text.empty()) return nullptr;
  if (used_ + 2 * kMaxPieceBytes > kCapacity) {
    std::ranges::fill(slots_, Piece());
    used_ = 0;
  }
  char* const begin = bytes_.get() + used_;
  const size_t inside =
      2 + VarintSize(name_text.size()) + name_text.size() + VarintSize(value_text.size()) + value_text.size();
  const char* const end = AppendText(0x12, value_text, AppendText(0x0a, name_text, AppendHead(0x0a, inside, begin)));
  used_ += static_cast<size_t>(end - begin);
  slot = {.bytes = begin,
          .size = static_cast<uint32_t>(end - begin),
          .name = name,
          .value = value,
          .order = table_->order(name)};
  return &slot;
}

}  // namespace mi::codec
