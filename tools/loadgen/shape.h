// Label sets shaped like real traffic, the same for the same seed and number, on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mi::loadgen {

// node: 6 labels, about 100 label bytes, as a plain exporter. kubernetes: 12 labels, about 400 bytes of names and
// values (465 on the wire), as a scraped cluster.
enum class Shape { kNode, kKubernetes };
Result<Shape> ParseShape(std::string_view text);

using LabelPairs = std::vector<std::pair<std::string, std::string>>;  // sorted by name

// Series `number` of `seed`. Different numbers and different seeds give different series.
LabelPairs LabelsOf(Shape shape, uint64_t seed, uint64_t number);

// Its identity string.
std::string IdentityOf(Shape shape, uint64_t seed, uint64_t number);

}  // namespace mi::loadgen
