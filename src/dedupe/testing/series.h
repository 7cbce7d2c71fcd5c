// Series for the tests and benchmarks of this room.
#pragma once

#include <cstdint>
#include <vector>

#include "dedupe/seen_set.h"
#include "model/fingerprint.h"

namespace mi::dedupe::testing {

// Enough for several generations in each shard; fewer where each access is checked.
#ifdef MI_SANITIZES_THREAD
inline constexpr uint64_t kMany = 100'000;
#else
inline constexpr uint64_t kMany = 400'000;
#endif

// Fingerprints like those of real series: spread over all bits, and the same ones for the same numbers.
inline model::Fingerprint Series(uint64_t number) {
  const auto mix = [](uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  };
  return {.hi = mix(2 * number + 1), .lo = mix(~(2 * number))};
}

inline std::vector<model::Fingerprint> SeriesRange(uint64_t begin, uint64_t end) {
  std::vector<model::Fingerprint> series;
  series.reserve(end - begin);
  for (uint64_t number = begin; number < end; ++number) series.push_back(Series(number));
  return series;
}

inline std::vector<Seen> Look(SeenSet& seen, const std::vector<model::Fingerprint>& series,
                              Touch touch = Touch::kActive) {
  std::vector<Seen> answers(series.size());
  seen.Lookup(series, std::vector<Touch>(series.size(), touch), answers);
  return answers;
}

inline Seen Look(SeenSet& seen, model::Fingerprint series, Touch touch = Touch::kActive) {
  return Look(seen, std::vector{series}, touch).front();
}

// The alias of a series with the same number.
inline model::Fingerprint AliasOf(uint64_t number) { return Series(1'000'000'000 + number); }

inline std::vector<SeenSet::Alias> AliasRange(uint64_t begin, uint64_t end) {
  std::vector<SeenSet::Alias> aliases;
  for (uint64_t number = begin; number < end; ++number) aliases.push_back({AliasOf(number), Series(number)});
  return aliases;
}

// How many of them answer.
inline size_t CountKnownAliases(SeenSet& seen, uint64_t begin, uint64_t end) {
  std::vector<model::Fingerprint> aliases;
  for (uint64_t number = begin; number < end; ++number) aliases.push_back(AliasOf(number));
  std::vector<uint32_t> unknown;
  seen.FindUnknown(aliases, unknown);
  return aliases.size() - unknown.size();
}

}  // namespace mi::dedupe::testing
