// The names of the functions in this process, for profiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mi::telemetry {

// Reads the symbol table of the running file, where static functions have names as well (the loader knows exported ones
// only); libraries are asked through the loader. Costs some milliseconds and a megabyte: made when it is asked for,
// then dropped.
//
// Threads: const members are safe.
// Errors: none. A file that is stripped or gone gives fewer names.
class Symbols {
 public:
  Symbols();
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // As the linker knows it, mangled; a library's file name in brackets where it has no name for the address; '' for
  // nothing known.
  std::string NameOf(uintptr_t address) const;

 private:
  struct Function {
    uintptr_t begin;
    uintptr_t end;
    const char* name;  // in the file
  };
  void ReadTable();

  const std::byte* file_ = nullptr;
  size_t size_ = 0;
  std::vector<Function> functions_;  // by their begin
};

// "mi::receive::Intake::Take(...)" for "_ZN2mi7receive…"; anything else as it is.
std::string Demangled(const std::string& name);

// In the memory map of a profile, the running file under a path that nobody has. Left as it is, pprof would read the
// file at that path where it runs: a newer one after an upgrade, and names without their namespaces. So it asks the
// process, which knows; PPROF_BINARY_PATH still leads it to a file, for line numbers.
void HideOwnFile(std::string& profile);

}  // namespace mi::telemetry
