// Turns label sets into pair ids. Neighbours resemble each other (a target's series come together), so each label is
// first compared with the one that stood in its place before.
//
// Threads: confined to the writer.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/dictionary.h"
#include "model/labels.h"

namespace mi::catalog {

class Interner {
 public:
  explicit Interner(Dictionary& dictionary) : dictionary_(dictionary) {}

  // The ascending ids of the labels' pairs and of the shape; valid until the next call. Requires: names distinct,
  // values not empty, and that the dictionary has room for labels.size() + 2 pairs.
  std::span<const PairId> operator()(std::string_view tenant, std::span<const model::Label> labels);

 private:
  // What stood here before.
  struct Memory {
    NameId name = kReservedNames;
    std::string_view name_text;
    std::string_view value;
    PairId pair = kNoPair;
  };

  PairId Tenant(std::string_view tenant);
  PairId Shape(PairId tenant);

  Dictionary& dictionary_;
  std::vector<Memory> memory_;
  std::vector<NameId> names_;
  std::vector<PairId> pairs_;
  std::string_view tenant_text_;
  PairId tenant_ = kNoPair;
  std::vector<NameId> shape_names_;  // what shape_ was made of, with shape_tenant_
  PairId shape_tenant_ = kNoPair;
  PairId shape_ = kNoPair;
  std::string shape_text_;  // reused
};

}  // namespace mi::catalog
