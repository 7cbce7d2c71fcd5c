#include "base/available_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>

#include "base/format.h"

namespace mi {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

// "max", and a file that is missing, are no limit.
uint64_t ReadLimit(const std::string& file) {
  uint64_t limit = kNone;
  return std::ifstream(file) >> limit ? limit : kNone;
}

}  // namespace

// /proc/self/cgroup has a line "0::/a/b" for version 2, and "7:memory:/a/b" for version 1. A limit of any group on the
// path counts. In a container the path may be one that only the host sees; then only its last step, the root, exists.
uint64_t AvailableMemory(const std::string& root) {
  uint64_t least = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && controllers != "memory") continue;
    const std::string base = root + (is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
    const std::string file = is_v2 ? "/memory.max" : "/memory.limit_in_bytes";
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      least = std::min(least, ReadLimit(format("{}{}{}", base, path, file)));
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return least;
}

}  // namespace mi
