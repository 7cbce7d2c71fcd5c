#include "codec/symbol_table.h"

namespace mi::codec {
namespace {

constexpr size_t kHugeTable = 1 << 16;

}  // namespace

void SymbolTable::Clear() {
  // What one monstrous request took is not kept for ever.
  if (texts_.capacity() > kHugeTable && texts_.size() < texts_.capacity() / 8) *this = SymbolTable();
  texts_.clear();
  orders_.clear();
  hashes_.clear();
}

void SymbolTable::Add(std::string_view text, const char* end) {
  texts_.push_back(text);
  orders_.push_back(OrderOf(text, end));
}

uint64_t SymbolTable::HashOf(uint32_t i, const model::Fingerprinter& fingerprinter) {
  if (hashes_.empty()) hashes_.resize(texts_.size());
  if (hashes_[i] == 0) hashes_[i] = fingerprinter(text(i)).lo | 1;
  return hashes_[i];
}

}  // namespace mi::codec
