#include "codec/symbol_table.h"

#include "base/restart.h"

namespace mi::codec {

void SymbolTable::Clear() {
  Restart(texts_);
  Restart(orders_);
  Restart(hashes_);
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
