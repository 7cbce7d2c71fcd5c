#include "codec/symbol_table.h"

#include <bit>

namespace mi::codec {
namespace {

constexpr size_t kHugeTable = 1 << 16;

size_t VarintSize(size_t value) { return (std::bit_width(value | 1) + 6) / 7; }

}  // namespace

void SymbolTable::Clear() {
  // What one monstrous request took is not kept for ever.
  if (symbols_.capacity() > kHugeTable && symbols_.size() < symbols_.capacity() / 8) *this = SymbolTable();
  symbols_.clear();
  orders_.clear();
  hashes_.clear();
  copyable_ = has_slack_ = true;
}

void SymbolTable::Add(std::string_view field, std::string_view text, const char* end) {
  copyable_ &= field.size() == 1 + VarintSize(text.size()) + text.size();
  has_slack_ &= static_cast<size_t>(end - (text.data() + text.size())) >= kCopySlack;
  symbols_.push_back({.field = field.data(),
                      .field_size = static_cast<uint32_t>(field.size()),
                      .text_size = static_cast<uint32_t>(text.size())});
  orders_.push_back(OrderOf(text, end));
}

uint64_t SymbolTable::HashOf(uint32_t i, const model::Fingerprinter& fingerprinter) {
  if (hashes_.empty()) hashes_.resize(symbols_.size());
  if (hashes_[i] == 0) hashes_[i] = fingerprinter(text(i)).lo | 1;
  return hashes_[i];
}

}  // namespace mi::codec
