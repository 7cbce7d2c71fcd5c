#include "loadgen/acknowledged.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/format.h"

namespace mi::loadgen {

Status WriteAcknowledged(const std::string& path, const TrafficOptions& traffic,
                         const std::vector<Range>& acknowledged) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (const auto& [first, count] : acknowledged) {
    for (uint64_t number = first; number < first + count; ++number) {
      file << IdentityOf(traffic.shape, traffic.seed, number) << '\n';
    }
  }
  file.close();
  if (!file) return Fail(Errc::kUnavailable, format("cannot write {}: {}", path, std::strerror(errno)));
  return {};
}

}  // namespace mi::loadgen
