#include "catalog/interner.h"

#include <algorithm>

#include "catalog/shape.h"

namespace mi::catalog {

std::span<const PairId> Interner::operator()(std::string_view tenant, std::span<const model::Label> labels) {
  names_.clear();
  pairs_.clear();
  if (memory_.size() < labels.size()) memory_.resize(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    Memory& memory = memory_[i];
    const bool same_name = memory.pair != kNoPair && memory.name_text == labels[i].name;
    if (!same_name) {
      memory.name = dictionary_.InternName(labels[i].name);
      memory.name_text = dictionary_.name(memory.name).text;
    }
    if (!same_name || memory.value != labels[i].value) {
      memory.pair = dictionary_.InternPair(memory.name, labels[i].value);
      memory.value = dictionary_.Value(memory.pair);
    }
    names_.push_back(memory.name);
    pairs_.push_back(memory.pair);
  }
  pairs_.push_back(Shape(Tenant(tenant)));
  std::ranges::sort(pairs_);
  return pairs_;
}

PairId Interner::Tenant(std::string_view tenant) {
  if (tenant_ == kNoPair || tenant_text_ != tenant) {
    tenant_ = dictionary_.InternPair(kTenants, tenant);
    tenant_text_ = dictionary_.Value(tenant_);
  }
  return tenant_;
}

PairId Interner::Shape(PairId tenant) {
  if (shape_ == kNoPair || shape_tenant_ != tenant || shape_names_ != names_) {
    shape_tenant_ = tenant;
    shape_names_ = names_;
    WriteShape(tenant, names_, shape_text_);
    shape_ = dictionary_.InternPair(kShapes, shape_text_);
  }
  return shape_;
}

}  // namespace mi::catalog
