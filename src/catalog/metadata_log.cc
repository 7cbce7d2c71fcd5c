#include "catalog/metadata_log.h"

#include "catalog/append_only.h"

namespace mi::catalog {
namespace {

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
    const store::StoredMetadata& stored = *(*entries_)[id];
    return stored.tenant == said.tenant && stored.metadata.family == said.metadata.family;
  });
  if (!known) {
    table_.Insert(hash, static_cast<uint32_t>(last_seen_ms_.size()));
    last_seen_ms_.push_back(said.last_seen_ms);
    Own().push_back(std::make_shared<const store::StoredMetadata>(said));
    text_bytes_ += HeapBytes(*entries_->back());
    return;
  }
  int64_t& last_seen_ms = last_seen_ms_[*known];
  const store::StoredMetadata& stored = *(*entries_)[*known];
  if (model::MetadataRank(said.last_seen_ms, said.metadata) <= model::MetadataRank(last_seen_ms, stored.metadata)) {
    return;
  }
  last_seen_ms = said.last_seen_ms;
  if (stored.metadata == said.metadata) return;  // senders repeat themselves every minute
  text_bytes_ -= HeapBytes(stored);
  auto& entry = Own()[*known];
  entry = std::make_shared<const store::StoredMetadata>(said);
  text_bytes_ += HeapBytes(*entry);
}

// Copy on write. Snapshots hold the list, so the writer never changes a list that was shared: the first change after
// Share() copies it (one pointer per family), and later changes go into that copy until it is shared in turn. Texts are
// not copied; both lists point to them. A statement that only repeats itself changes last_seen_ms_, which is not in the
// list, and so copies nothing. An entry's own last_seen_ms is therefore the time at which its texts were last replaced.
MetadataLog::Entries& MetadataLog::Own() {
  if (is_shared_) entries_ = std::make_shared<Entries>(*entries_);
  is_shared_ = false;
  return *entries_;
}

size_t MetadataLog::bytes() const {
  return entries_->size() * sizeof(Entries::value_type) + last_seen_ms_.capacity() * sizeof(int64_t) + table_.bytes() +
         text_bytes_;
}

}  // namespace mi::catalog
