// The tables of docs/configuration.md, made from the rows.
#pragma once

#include <string>

namespace mi::config {

// One table per section, in the order of the rows.
std::string OptionTables();

}  // namespace mi::config
