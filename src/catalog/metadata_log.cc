#include "catalog/metadata_log.h"

#include "catalog/text_hash.h"

namespace mi::catalog {
namespace {

uint64_t Hash(const model::Tenant& tenant, const model::MetricMetadata& metadata) {
  uint64_t hash = 0;
  for (const std::string* text : {&tenant.name(), &metadata.family, &metadata.type, &metadata.help, &metadata.unit}) {
    hash = HashText(*text, hash);
  }
  return hash;
}

size_t HeapBytes(const std::string& text) {
  const size_t inside = std::string().capacity();
  return text.capacity() > inside ? text.capacity() + 1 + 16 : 0;
}

}  // namespace

void MetadataLog::Add(const model::Tenant& tenant, const model::MetricMetadata& metadata) {
  const uint64_t hash = Hash(tenant, metadata);
  auto same = [&](uint32_t i) { return entries_[i].tenant == tenant && entries_[i].metadata == metadata; };
  if (table_.Find(hash, same)) return;
  const uint32_t id = size();
  const store::StoredMetadata& entry = entries_.Append() = {tenant, metadata};
  for (const std::string* text : {&entry.tenant.name(), &entry.metadata.family, &entry.metadata.type,
                                  &entry.metadata.help, &entry.metadata.unit}) {
    text_bytes_ += HeapBytes(*text);
  }
  table_.Insert(hash, id);
}

}  // namespace mi::catalog
