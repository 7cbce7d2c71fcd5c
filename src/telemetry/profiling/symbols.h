// The names of the functions in this process, for profiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mi::telemetry {

// Reads the symbol table of the running file, which names static functions too; the loader knows exported functions
// only. Asks the loader about libraries. Construction costs some milliseconds and a megabyte, so make one when it is
// needed and drop it.
//
// Threads: const members are safe.
// Errors: none. If the file is stripped or gone, fewer addresses have names.
class Symbols {
 public:
  Symbols();
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // The mangled name; the file name of a library in brackets if the library has no name for the address; '' if nothing
  // is known.
  std::string NameOf(uintptr_t address) const;

 private:
  struct Function {
    uintptr_t begin;
    uintptr_t end;
    const char* name;  // in the file
  };
  void ReadTable();

  std::span<const std::byte> file_;  // mapped
  std::vector<Function> functions_;  // sorted by begin
};

// "mi::receive::Intake::Take(...)" for "_ZN2mi7receive…"; anything else unchanged.
std::string Demangled(const std::string& name);

// Reduces the memory map at the end of a profile to what pprof needs: the executable parts, without devices and inodes.
// Paths outside of the system's libraries become ones that exist nowhere. That says less about the machine, and it
// keeps pprof from opening the file at that path on its own machine: after an upgrade that is a newer file, and the
// names that pprof reads from a file lack their namespaces. Without the path, pprof asks this process for names.
// PPROF_BINARY_PATH still leads pprof to a file, for line numbers.
void ReduceMemoryMap(std::string& profile);

}  // namespace mi::telemetry
