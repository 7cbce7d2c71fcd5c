// The canonical bytes of the labels of a 2.0 request, each built once: most series share nearly all of their labels.
// Internal to this room.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "codec/symbol_table.h"

namespace mi::codec {

// A cache with one slot per hash of the two references: a label replaces the one before it in its slot. The bytes are
// in one block, in the order in which they were built; when it is full, everything is forgotten. Threads: confined to
// one. Memory: 64 KiB to 2.5 MiB, whatever the request.
class LabelPieces {
 public:
  static constexpr size_t kMaxSymbolBytes = 4096;                     // the slow path handles longer ones
  static constexpr size_t kMaxPieceBytes = 2 * kMaxSymbolBytes + 16;  // both, with tags and lengths
  static constexpr size_t kCopyStep = 64;                             // Append copies in steps of this many bytes

  // The canonical field of one label.
  struct Piece {
    const char* bytes = nullptr;
    uint32_t size = 0;
    uint32_t name = UINT32_MAX;
    uint32_t value = UINT32_MAX;
    uint64_t order = 0;  // of the name
  };

  // Forgets the previous request.
  void Begin(const SymbolTable& table);

  // Valid until the next call. Null: a reference beyond the symbols, a symbol that is too long, or an empty value (such
  // a label is absent; the slow path checks its name).
  const Piece* Find(uint32_t name, uint32_t value) {
    Piece& slot = slots_[(name * 0x9e3779b1U + value) & mask_];
    // An empty slot has the highest references, which a request may contain too: so `bytes` is compared as well.
    const bool is_made = slot.name == name && slot.value == value && slot.bytes != nullptr;
    return is_made ? &slot : Make(name, value, slot);
  }

  // Copies the piece to `out` and returns its end. May write up to kCopyStep bytes after it.
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
  std::unique_ptr<char[]> bytes_;  // the bytes of all pieces
  size_t used_ = 0;
};

}  // namespace mi::codec
