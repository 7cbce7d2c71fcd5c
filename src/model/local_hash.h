// The keyed hash by which a process recognises bytes that it has seen before, in less than half of the instructions of
// a fingerprint. Its values depend on a random key, so they mean nothing to any other process and are never stored.
//
// Whoever does not know the key cannot choose two texts that collide: for any two different texts, at most one key in
// 2^63 makes their hashes equal (local_hash.cc says why). Two engines compute different values; a key belongs to one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/fingerprint.h"

namespace mi::model {

class LocalHashKey {
 public:
  // kCarryless needs instructions of amd64 that processors have since 2011 (AVX, AES, PCLMULQDQ). kPortable is XXH3
  // with a random secret.
  enum class Engine : uint8_t { kPortable, kCarryless };
  static Engine BestEngine();

  static constexpr size_t kChunkBlocks = 512;
  static constexpr size_t kBlocks = kChunkBlocks + 2;
  static constexpr size_t kRounds = 4;
  using Block = std::array<uint64_t, 2>;

  explicit LocalHashKey(Engine engine = BestEngine());  // from the system's random numbers
  LocalHashKey(Engine engine, uint64_t seed);           // for tests: the same key each time

  Engine engine() const { return engine_; }
  const Block* blocks() const { return blocks_.data(); }
  const Block* rounds() const { return rounds_.data(); }

 private:
  alignas(64) std::array<Block, kBlocks> blocks_;
  std::array<Block, kRounds> rounds_;
  Engine engine_;
};

// Hashes the texts of one tenant. A small value: construct it once per request.
// Threads: compatible; concurrent calls of the const members are safe. Ownership: borrows the key.
class LocalHasher {
 public:
  // The hashes of different tenants, and with different identity secrets, differ.
  LocalHasher(const LocalHashKey& key, const Fingerprinter& fingerprinter);

  // Never all zeros.
  Fingerprint operator()(std::string_view text) const;

  // The hash of a text that is a part of sequences, and its size.
  struct Part {
    LocalHashKey::Block hash;
    uint64_t bytes;
    uint64_t unused = 0;  // so that OfPacked finds a part by a shift
  };
  Part OfPart(std::string_view text) const;
  void OfParts(std::span<const std::string_view> texts, std::vector<Part>& parts) const;  // replaces `parts`

  // The hash of the sequence parts[indices[0]], parts[indices[1]], ... Different from that of a text. Adds the sizes of
  // these parts to `bytes`. Never all zeros. Requires: indices.size() <= kMaxSequence; each index is one of a part.
  static constexpr size_t kMaxSequence = LocalHashKey::kChunkBlocks;
  Fingerprint OfSequence(const Part* parts, std::span<const uint32_t> indices, uint64_t& bytes) const;

  // The same for usual indices, as varints one after another. Returns all zeros, and leaves `bytes` as it was, if the
  // caller must use OfSequence instead: the engine is kPortable; there are no indices, an odd number of them, or more
  // than kMaxSequence bytes; an index has more than two bytes, or is not one of a part. Requires: kPackedSlack bytes
  // behind `packed` may be read.
  static constexpr size_t kPackedSlack = 8;
  Fingerprint OfPacked(std::span<const Part> parts, std::string_view packed, uint64_t& bytes) const;

 private:
  const LocalHashKey& key_;
  LocalHashKey::Block tenant_;
};

}  // namespace mi::model
