#include "catalog/metadata_log.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "catalog/append_only.h"
#include "store/metadata_plan.h"

namespace mi::catalog {
namespace {

size_t HeapBytes(const MetadataLog::Family& texts) {
  const size_t inside = std::string().capacity();
  size_t bytes = sizeof(texts) + 2 * kMallocHeader;  // including the counts of the shared pointer
  bytes += texts.capacity() * sizeof(store::StoredMetadata) + kMallocHeader;
  bytes += texts.size() * sizeof(int64_t) + kMallocHeader;  // the times
  for (const store::StoredMetadata& said : texts) {
    for (const std::string* text :
         {&said.tenant.name(), &said.metadata.family, &said.metadata.type, &said.metadata.help, &said.metadata.unit}) {
      if (text->capacity() > inside) bytes += text->capacity() + 1 + kMallocHeader;
    }
  }
  return bytes;
}

}  // namespace

uint64_t MetadataLog::Hash(const store::StoredMetadata& said) const {
  return HashText(said.metadata.family, HashText(said.tenant.name(), seed_));
}

void MetadataLog::Add(const store::StoredMetadata& said) {
  const uint64_t hash = Hash(said);
  const auto known = table_.Find(hash, [&](uint32_t id) {
    const store::StoredMetadata& stored = (*entries_)[id]->front();
    return stored.tenant == said.tenant && stored.metadata.family == said.metadata.family;
  });
  if (!known) {
    const auto id = static_cast<uint32_t>(last_seen_ms_.size());
    table_.Insert(hash, id);
    last_seen_ms_.emplace_back();
    Own().emplace_back();
    return Replace(id, {said});
  }
  std::vector<int64_t>& times = last_seen_ms_[*known];
  const Family& texts = *(*entries_)[*known];
  const int64_t newest = std::max(std::ranges::max(times), said.last_seen_ms);
  const auto is_outdated = [&](int64_t time) { return time < newest - text_lifetime_ms_; };
  if (is_outdated(said.last_seen_ms)) return;
  const auto same = std::ranges::find(texts, said.metadata, &store::StoredMetadata::metadata);
  if (same != texts.end()) {  // senders repeat themselves
    int64_t& time = times[static_cast<size_t>(same - texts.begin())];
    time = std::max(time, said.last_seen_ms);
    if (std::ranges::none_of(times, is_outdated)) return;
  }
  Family changed = texts;
  for (size_t i = 0; i < changed.size(); ++i) changed[i].last_seen_ms = times[i];
  const auto merged = store::MergeMetadata(changed, said);
  const size_t outdated =
      std::erase_if(changed, [&](const store::StoredMetadata& text) { return is_outdated(text.last_seen_ms); });
  if (merged || outdated > 0) Replace(*known, std::move(changed));
}

// The latest text comes first: it is the one that a reader sees who wants one only.
void MetadataLog::Replace(uint32_t id, Family texts) {
  std::ranges::sort(texts, std::greater(), [](const store::StoredMetadata& text) {
    return model::MetadataRank(text.last_seen_ms, text.metadata);
  });
  texts.shrink_to_fit();
  last_seen_ms_[id].clear();
  for (const store::StoredMetadata& text : texts) last_seen_ms_[id].push_back(text.last_seen_ms);
  last_seen_ms_[id].shrink_to_fit();
  auto& entry = Own()[id];
  if (entry != nullptr) text_bytes_ -= HeapBytes(*entry);
  entry = std::make_shared<const Family>(std::move(texts));
  text_bytes_ += HeapBytes(*entry);
}

// Copy on write. Snapshots hold the list, so the writer never changes a list that was shared: the first change after
// Share() copies it (one pointer per family), and later changes go into that copy until it is shared in turn. Texts of
// other families are not copied; both lists point to them. A statement that only repeats itself changes last_seen_ms_,
// which is not in the list, and so copies nothing.
MetadataLog::Entries& MetadataLog::Own() {
  if (is_shared_) entries_ = std::make_shared<Entries>(*entries_);
  is_shared_ = false;
  return *entries_;
}

size_t MetadataLog::bytes() const {
  return entries_->size() * sizeof(Entries::value_type) + last_seen_ms_.capacity() * sizeof(std::vector<int64_t>) +
         table_.bytes() + text_bytes_;
}

}  // namespace mi::catalog
