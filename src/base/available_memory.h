// How much memory this process may use.
#pragma once

#include <cstdint>
#include <string>

namespace mi {

// The least of the machine's memory and the limits of the process's control groups (containers, systemd's MemoryMax).
// `root` is for tests: the directory that contains proc/ and sys/.
uint64_t AvailableMemory(const std::string& root = "");

}  // namespace mi
