// Turns label sets into pair ids.
//
// Each series also gets its shape as a pair of the reserved name kShapes. A shape is what a series has besides its
// values: the tenant and the label names. So "has this label" and "belongs to this tenant" are unions over few posting
// lists.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/dictionary.h"
#include "model/labels.h"

namespace mi::catalog {

// Writes the text of a shape: the tenant's pair id and the name ids, ascending, as deltas in varints. Sorts `names`.
void WriteShape(PairId tenant, std::span<NameId> names, std::string& out);

// Reads such a text. A view into it.
class ShapeView {
 public:
  explicit ShapeView(std::string_view text)
      : at_(reinterpret_cast<const uint8_t*>(text.data())),
        end_(at_ + text.size()),
        tenant_(static_cast<PairId>(TakeVarint(at_))) {}

  PairId tenant() const { return tenant_; }
  bool Has(NameId wanted) const {
    uint64_t name = 0;
    for (const uint8_t* at = at_; at != end_ && name < wanted;) name += TakeVarint(at);
    return name == wanted;
  }
  // visit(NameId), ascending.
  template <typename Visit>
  void ForEachName(Visit visit) const {
    uint64_t name = 0;
    for (const uint8_t* at = at_; at != end_;) visit(static_cast<NameId>(name += TakeVarint(at)));
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
  PairId tenant_;
};

// Successive series resemble each other, since those of a target come together. So each label is first compared with
// the one at the same position of the series before, and the shape with the shape before.
//
// Threads: confined to the writer.
class Interner {
 public:
  explicit Interner(Dictionary& dictionary) : dictionary_(dictionary) {}

  // The ids of the labels' pairs and of the shape, ascending; valid until the next call. Requires: names are distinct,
  // values are not empty, and the dictionary has room for labels.size() + 2 pairs.
  std::span<const PairId> operator()(std::string_view tenant, std::span<const model::Label> labels);

 private:
  // The label at one position of the series before.
  struct Previous {
    NameId name = kReservedNames;
    std::string_view name_text;
    std::string_view value;
    PairId pair = kNoPair;
  };

  PairId Tenant(std::string_view tenant);
  PairId Shape(PairId tenant);

  Dictionary& dictionary_;
  std::vector<Previous> previous_;
  std::vector<NameId> names_;
  std::vector<PairId> pairs_;
  std::string_view tenant_text_;
  PairId tenant_ = kNoPair;
  std::vector<NameId> shape_names_;  // with shape_tenant_: what shape_ was made of
  PairId shape_tenant_ = kNoPair;
  PairId shape_ = kNoPair;
  std::string shape_text_;  // reused
};

}  // namespace mi::catalog
