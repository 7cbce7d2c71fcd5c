// A shape is what a series has apart from its values: the tenant and the label names. Each series carries its shape as
// a pair of the reserved name kShapes, so "has this label" and "is this tenant's" are unions over a few posting lists.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "catalog/dictionary.h"
#include "catalog/varint.h"

namespace mi::catalog {

// Writes a shape's text: the tenant's pair id and the name ids, ascending, as deltas. Sorts `names`.
inline void WriteShape(PairId tenant, std::span<NameId> names, std::string& out) {
  std::ranges::sort(names);
  out.resize((names.size() + 1) * kMaxVarint);
  auto* const begin = reinterpret_cast<uint8_t*>(out.data());
  uint8_t* at = PutVarint(tenant, begin);
  NameId before = 0;
  for (const NameId name : names) {
    at = PutVarint(name - before, at);
    before = name;
  }
  out.resize(static_cast<size_t>(at - begin));
}

// Reads one. A view into the dictionary's text.
class ShapeView {
 public:
  explicit ShapeView(std::string_view text)
      : at_(reinterpret_cast<const uint8_t*>(text.data())), end_(at_ + text.size()) {
    uint64_t tenant = 0;
    at_ = GetVarint(at_, tenant);
    tenant_ = static_cast<PairId>(tenant);
  }

  PairId tenant() const { return tenant_; }
  bool Has(NameId wanted) const {
    uint64_t name = 0;
    for (const uint8_t* at = at_; at != end_ && name < wanted;) {
      uint64_t delta = 0;
      at = GetVarint(at, delta);
      name += delta;
    }
    return name == wanted;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
  PairId tenant_ = 0;
};

}  // namespace mi::catalog
