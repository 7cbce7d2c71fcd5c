#include "base/fatal.h"

#include <unistd.h>

#include <cstdlib>
#include <new>
#include <string_view>

namespace mi {

// Allocates nothing. The process may die at any moment without losing an acknowledged series (docs/adr/0011), so a
// restart is the one way out of lack of memory. abort() rather than exit(): a core dump shows what used the memory.
void OutOfMemory() {
  constexpr std::string_view kLine = "metric-index: out of memory; the process ends and must be restarted\n";
  (void)!::write(STDERR_FILENO, kLine.data(), kLine.size());
  std::abort();
}

void InstallOutOfMemoryHandler() { std::set_new_handler(OutOfMemory); }

}  // namespace mi
