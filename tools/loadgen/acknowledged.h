// The file of acknowledged series: one identity per line.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "loadgen/sender.h"

namespace mi::loadgen {

// kUnavailable names the file and why.
Status WriteAcknowledged(const std::string& path, const TrafficOptions& traffic,
                         const std::vector<Range>& acknowledged);

}  // namespace mi::loadgen
