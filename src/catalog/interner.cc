#include "catalog/interner.h"

#include <algorithm>
#include <cassert>

namespace mi::catalog {

void WriteShape(PairId tenant, std::span<NameId> names, std::string& out) {
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

// Label i is compared with label i of the series before. Equal texts save a hash look-up for the name and one for the
// pair; unequal texts cost one comparison, and then the look-up. The remembered texts are views into the dictionary,
// which never moves or frees a text. Positions beyond the labels of a short series keep what an earlier series had
// there, which is still right. Costs O(n log n) for n labels, because the pairs are sorted.
std::span<const PairId> Interner::operator()(std::string_view tenant, std::span<const model::Label> labels) {
  assert(dictionary_.pair_count() + labels.size() + 2 <= kNoPair);
  assert(std::ranges::none_of(labels, &std::string_view::empty, &model::Label::value));
  names_.clear();
  pairs_.clear();
  if (previous_.size() < labels.size()) previous_.resize(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    Previous& previous = previous_[i];
    const bool same_name = previous.pair != kNoPair && previous.name_text == labels[i].name;
    if (!same_name) {
      previous.name = dictionary_.InternName(labels[i].name);
      previous.name_text = dictionary_.name(previous.name).text;
    }
    if (!same_name || previous.value != labels[i].value) {
      previous.pair = dictionary_.InternPair(previous.name, labels[i].value);
      previous.value = dictionary_.Value(previous.pair);
    }
    names_.push_back(previous.name);
    pairs_.push_back(previous.pair);
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

// shape_names_ keeps the order of arrival, because it is copied before WriteShape sorts names_. The next series is
// compared in its order of arrival. The same names in another order write the text again, and find the same shape.
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
