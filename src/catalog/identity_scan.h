// Reads the identity strings of a store quickly: what model::AppendIdentity writes for ordinary series, in place.
#pragma once

#include <string_view>
#include <vector>

#include "model/labels.h"

namespace mi::catalog {

// Fills `labels` with views into `text`, __name__ first, then ascending by name. False for everything out of the
// ordinary (quoted names, escapes, blanks, another order, faults): model::ParseIdentity knows what to make of it.
// What it accepts, ParseIdentity accepts with the same labels.
bool ScanIdentity(std::string_view text, std::vector<model::Label>& labels);

}  // namespace mi::catalog
