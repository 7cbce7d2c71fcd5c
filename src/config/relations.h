// Rules between options: what one option must be to another, and to the role. Each value is in its own range already.
#pragma once

#include "config/draft.h"

namespace mi::config {

// Adds a fault for each rule that is broken, and a warning for what is legal but probably not meant.
void CheckRelations(Draft& draft);

}  // namespace mi::config
