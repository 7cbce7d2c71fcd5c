#include "store/dictionary.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cassert>
#include <optional>

namespace mi::store {
namespace {

constexpr std::array<std::string_view, 1> kNameColumns = {"name"};
constexpr std::array<std::string_view, 1> kValueColumns = {"value"};
constexpr std::array<std::string_view, 4> kBasicColumns = {"tenant", "env", "service", "__name__"};

}  // namespace

Hash16 DictionaryHash(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  Hash16 hash;
  std::copy_n(digest.begin(), hash.size(), hash.begin());
  return hash;
}

// A text that many series of a call share has one entry, and is hashed by SHA-256 at most once: only if its id is not
// in memory. slots_ points into the entries' own keys; wanted_ is a deque, so the keys never move. A text that the call
// has already costs one look-up in a hash table.
size_t Dictionary::Want(std::string_view key, std::span<const std::string_view> values) {
  assert(values.size() == table_.columns.size());
  if (const auto known = slots_.find(key); known != slots_.end()) return known->second;
  const size_t slot = wanted_.size();
  Wanted& wanted = wanted_.emplace_back();
  wanted.key = key;
  std::ranges::copy(values, wanted.values.begin());
  if (const std::optional<uint64_t> id = cache_.Find(key)) {
    wanted.Settle(*id, true);
  } else {
    wanted.hash = DictionaryHash(key);
  }
  slots_.emplace(wanted.key, slot);
  return slot;
}

std::vector<Dictionary::Wanted*> Dictionary::Missing() {
  std::vector<Wanted*> missing;
  for (Wanted& wanted : wanted_) {
    if (!wanted.settled) missing.push_back(&wanted);
  }
  std::ranges::sort(missing, {}, [](const Wanted* wanted) { return View(wanted->hash); });
  return missing;
}

bool Dictionary::HasRefused() const {
  return std::ranges::any_of(wanted_, [](const Wanted& wanted) { return wanted.id == 0; });
}

void Dictionary::Remember() {
  for (const Wanted& wanted : wanted_) {
    if (wanted.id != 0) cache_.Put(wanted.key, wanted.id);
  }
}

void Dictionary::Discard() {
  slots_.clear();
  wanted_.clear();
}

Dictionaries::Dictionaries(uint64_t cache_bytes)
    : names({"metric_label_name", kNameColumns}, cache_bytes / 8),
      values({"metric_label_value", kValueColumns}, cache_bytes / 8 * 6),
      basic_labels({"metric_basic_label", kBasicColumns}, cache_bytes / 8) {}

void Dictionaries::Remember() {
  for (Dictionary* dictionary : all()) dictionary->Remember();
}

void Dictionaries::Discard() {
  for (Dictionary* dictionary : all()) dictionary->Discard();
}

void Dictionaries::Forget() {
  for (Dictionary* dictionary : all()) dictionary->Forget();
}

}  // namespace mi::store
