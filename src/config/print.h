// Prints a configuration as YAML, with prose or with origins.
#pragma once

#include <string>

#include "config/loader.h"

namespace mi::config {

// `config default`: every option with its default and its prose. Loads to Config{}.
std::string PrintDefault();
// `config show`: the values in effect, each with its origin; secrets as "***".
std::string PrintShow(const Loaded& loaded);
// YAML without comments and with the secrets in clear. Loads to the same Config.
std::string PrintYaml(const Config& config);

}  // namespace mi::config
