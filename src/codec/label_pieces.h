// The labels of a 2.0 request, each put together once: most series share nearly all of theirs. Internal to this room.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "codec/symbol_table.h"

namespace mi::codec {

// Threads: confined to one. Memory: 64 KiB to 2.5 MiB, whatever the request; it forgets what it has no room for.
class LabelPieces {
 public:
  static constexpr size_t kMaxSymbolBytes = 4096;                     // longer ones are for the slow path
  static constexpr size_t kMaxPieceBytes = 2 * kMaxSymbolBytes + 16;  // both, with tags and lengths
  static constexpr size_t kCopyStep = 64;                             // Append copies so many bytes at once

  // The canonical field of one label.
  struct Piece {
    const char* bytes = nullptr;
    uint32_t size = 0;
    uint32_t name = UINT32_MAX;
    uint32_t value = UINT32_MAX;
    uint64_t order = 0;  // of the name
  };

  // Forgets the request before.
  void Begin(const SymbolTable& table);

  // Valid until the next call. Null: a reference beyond the symbols, a symbol that is too long, or an empty value: that
  // label is absent, and what it is called is for the slow path to check.
  const Piece* Find(uint32_t name, uint32_t value) {
    Piece& slot = slots_[(name * 0x9e3779b1U + value) & mask_];
    // An empty slot looks like the highest references: only Make knows that they are beyond every table.
    const bool is_made = slot.name == name && slot.value == value && slot.bytes != nullptr;
    return is_made ? &slot : Make(name, value, slot);
  }

  // Copies the piece to `out` and gives its end. May write up to kCopyStep bytes behind it.
  static char* Append(const Piece& piece, char* out) {
    std::memcpy(out, piece.bytes, kCopyStep);
    for (size_t done = kCopyStep; done < piece.size; done += kCopyStep) {
      std::memcpy(out + done, piece.bytes + done, kCopyStep);
    }
    return out + piece.size;
  }

 private:
  const Piece* Make(uint32_t name, uint32_t value, Piece& slot);

  const SymbolTable* table_ = nullptr;
  std::vector<Piece> slots_;
  uint32_t mask_ = 0;
  std::unique_ptr<char[]> bytes_;  // what the pieces point into, in the order in which they were made
  size_t used_ = 0;
};

}  // namespace mi::codec
