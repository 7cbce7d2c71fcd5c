#include "telemetry/profiling/symbols.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/file_descriptor.h"
#include "base/format.h"

namespace mi::telemetry {
namespace {

// How far the program was moved from the addresses in its file. The first object is the program itself.
uintptr_t LoadBias() {
  uintptr_t bias = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;
      },
      &bias);
  return bias;
}

// `count` objects at `offset`; empty if they are not inside the file.
template <typename T>
std::span<const T> TableAt(std::span<const std::byte> file, uint64_t offset, uint64_t count) {
  if (offset > file.size() || count > (file.size() - offset) / sizeof(T) || offset % alignof(T) != 0) return {};
  return {reinterpret_cast<const T*>(file.data() + offset), count};
}

}  // namespace

Symbols::Symbols() {
  const FileDescriptor file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file.valid() || fstat(file.get(), &status) != 0) return;
  const auto size = static_cast<size_t>(status.st_size);
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) return;
  file_ = {static_cast<const std::byte*>(mapped), size};
  ReadTable();
}

Symbols::~Symbols() {
  if (!file_.empty()) munmap(const_cast<std::byte*>(file_.data()), file_.size());
}

// ELF: the header points to the section headers. The section SHT_SYMTAB is the symbol table; its sh_link is the number
// of the section that holds the names.
void Symbols::ReadTable() {
  const auto header = TableAt<ElfW(Ehdr)>(file_, 0, 1);
  if (header.empty()) return;
  const auto sections = TableAt<ElfW(Shdr)>(file_, header[0].e_shoff, header[0].e_shnum);
  const auto table = std::ranges::find(sections, static_cast<uint32_t>(SHT_SYMTAB), &ElfW(Shdr)::sh_type);
  if (table == sections.end() || table->sh_link >= sections.size()) return;
  const ElfW(Shdr)& names = sections[table->sh_link];
  const auto text = TableAt<char>(file_, names.sh_offset, names.sh_size);
  if (text.empty() || text.back() != '\0') return;

  const uintptr_t bias = LoadBias();
  for (const ElfW(Sym) & symbol : TableAt<ElfW(Sym)>(file_, table->sh_offset, table->sh_size / sizeof(ElfW(Sym)))) {
    const bool defined = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF;
    if (!defined || symbol.st_name >= text.size()) continue;
    const uintptr_t begin = bias + symbol.st_value;
    functions_.push_back({.begin = begin, .end = begin + symbol.st_size, .name = text.data() + symbol.st_name});
  }
  std::ranges::sort(functions_, {}, &Function::begin);
}

// Searches the program's own table first (binary search), because it also has the static functions, and then the tables
// of the shared libraries. Without a name, it returns the library.
std::string Symbols::NameOf(uintptr_t address) const {
  const auto after = std::ranges::upper_bound(functions_, address, {}, &Function::begin);
  if (after != functions_.begin() && address < std::prev(after)->end) return std::prev(after)->name;
  Dl_info info{};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address from a profile is a number
  if (dladdr(reinterpret_cast<void*>(address), &info) == 0) return {};
  if (info.dli_sname != nullptr) return info.dli_sname;
  if (info.dli_fname == nullptr) return {};
  const std::string_view path = info.dli_fname;
  return format("[{}]", path.substr(path.rfind('/') + 1));
}

std::string Demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status),
                                                          &std::free);
  return plain ? plain.get() : name;
}

void HideOwnFile(std::string& profile) {
  std::error_code error;
  const std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();  // " (deleted)" included
  if (error) return;
  const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
  const std::string hidden = format(" /debug/pprof/{}\n", file.substr(0, file.find(' ')));
  const std::string line_end = format(" {}\n", path);
  for (size_t at = 0; (at = profile.find(line_end, at)) != std::string::npos; at += hidden.size()) {
    profile.replace(at, line_end.size(), hidden);
  }
}

}  // namespace mi::telemetry
