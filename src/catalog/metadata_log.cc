#include "catalog/metadata_log.h"

#include <algorithm>

namespace mi::catalog {
namespace {

constexpr size_t kMallocHeader = 16;

uint64_t Hash(const store::StoredMetadata& said) {
  return HashText(said.metadata.family, HashText(said.tenant.name(), 0));
}

size_t HeapBytes(const store::StoredMetadata& said) {
  const size_t inside = std::string().capacity();
  size_t bytes = sizeof(said) + 2 * kMallocHeader;  // including the counts of the shared pointer
  for (const std::string* text :
       {&said.tenant.name(), &said.metadata.family, &said.metadata.type, &said.metadata.help, &said.metadata.unit}) {
    if (text->capacity() > inside) bytes += text->capacity() + 1 + kMallocHeader;
  }
  return bytes;
}

}  // namespace

void MetadataLog::Add(const store::StoredMetadata& said) {
  const uint64_t hash = Hash(said);
  const auto known = table_.Find(hash, [&](uint32_t id) {
    return At(id).tenant == said.tenant && At(id).metadata.family == said.metadata.family;
  });
  if (!known) {
    const auto id = static_cast<uint32_t>(last_seen_ms_.size());
    Put(id, said);
    last_seen_ms_.push_back(said.last_seen_ms);
    table_.Insert(hash, id);
    return;
  }
  int64_t& last_seen_ms = last_seen_ms_[*known];
  const model::MetricMetadata& stored = At(*known).metadata;
  if (model::MetadataRank(said.last_seen_ms, said.metadata) <= model::MetadataRank(last_seen_ms, stored)) return;
  last_seen_ms = said.last_seen_ms;
  if (stored == said.metadata) return;  // senders repeat themselves every minute
  text_bytes_ -= HeapBytes(At(*known));
  Put(*known, said);
}

void MetadataLog::Put(uint32_t id, const store::StoredMetadata& said) {
  auto entry = std::make_shared<const store::StoredMetadata>(said);
  text_bytes_ += HeapBytes(*entry);
  Own(id / kChunk)[id % kChunk] = std::move(entry);
}

MetadataLog::Chunk& MetadataLog::Own(uint32_t chunk) {
  if (is_shared_) {
    chunks_ = std::make_shared<Chunks>(*chunks_);
    std::ranges::fill(owned_, nullptr);
    is_shared_ = false;
  }
  if (chunk == chunks_->size()) {
    owned_.push_back(std::make_shared<Chunk>());
    chunks_->push_back(owned_.back());
  } else if (owned_[chunk] == nullptr) {
    owned_[chunk] = std::make_shared<Chunk>(*(*chunks_)[chunk]);
    (*chunks_)[chunk] = owned_[chunk];
  }
  return *owned_[chunk];
}

MetadataLog::View MetadataLog::Share() {
  is_shared_ = true;
  return View(chunks_);
}

size_t MetadataLog::bytes() const {
  constexpr size_t kChunkBytes = sizeof(Chunk) + 2 * kMallocHeader + 2 * sizeof(Chunks::value_type);
  return chunks_->size() * kChunkBytes + last_seen_ms_.capacity() * sizeof(int64_t) + table_.bytes() + text_bytes_;
}

}  // namespace mi::catalog
