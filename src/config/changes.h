// What differs between two configurations, and what of it can be taken while the process runs.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "config/rows.h"

namespace mi::config {

// Keys whose values differ, among the rows that are `reload`; a list of sections counts as one key ("remote.write").
std::vector<std::string> ChangedKeys(const Config& before, const Config& after, Reload reload);

// `loaded`, with what needs a restart as it is in `running`.
Config KeepRestartOnly(const Config& running, Config loaded);

}  // namespace mi::config
