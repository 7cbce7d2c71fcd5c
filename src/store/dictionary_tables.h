// The dictionary tables, of which a store has one each, and the keys of their rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/format.h"

namespace mi::store {

enum DictionaryIndex : size_t { kNames, kValues, kBasicLabels };

struct DictionaryTable {
  std::string_view table;
  std::span<const std::string_view> columns;  // beside id and hash; at most 4
  size_t cache_bytes;
};

inline constexpr std::array<std::string_view, 1> kNameColumns = {"name"};
inline constexpr std::array<std::string_view, 1> kValueColumns = {"value"};
inline constexpr std::array<std::string_view, 4> kBasicColumns = {"tenant", "env", "service", "__name__"};

// By DictionaryIndex; values are most of what there is.
constexpr std::array<DictionaryTable, 3> DictionaryTables(uint64_t cache_bytes) {
  return {{{"metric_label_name", kNameColumns, cache_bytes / 8},
           {"metric_label_value", kValueColumns, cache_bytes / 8 * 6},
           {"metric_basic_label", kBasicColumns, cache_bytes / 8}}};
}

// Netstrings: no two lists of texts give the same key, whatever bytes are in them.
inline void AppendNetstring(std::string_view text, std::string& key) { AppendFormat(key, "{}:{},", text.size(), text); }

// A hash or a fingerprint. It compares as databases do, by unsigned bytes.
inline std::string_view View(const std::array<char, 16>& bytes) { return {bytes.data(), bytes.size()}; }

}  // namespace mi::store
