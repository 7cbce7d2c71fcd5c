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
#include <memory>
#include <optional>
#include <ranges>

#include "base/ascii.h"
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

namespace {

// A line of /proc/self/maps.
struct MapLine {
  size_t begin = 0;             // in its line: behind the bytes of a binary profile, for the first line of its map
  std::string_view range;       // "7f00-7f10"
  std::string_view permission;  // "r-xp"
  std::string_view offset;      // "00001000"
  std::string_view path;        // may be empty
};

std::string_view TakeWord(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ', word.size())));
  return word;
}

bool IsHex(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); });
}

std::optional<MapLine> ParseMapLine(std::string_view line) {
  for (size_t dash = line.find('-'); dash != std::string_view::npos; dash = line.find('-', dash + 1)) {
    MapLine parsed{.begin = dash};
    while (parsed.begin > 0 && IsHex(line.substr(parsed.begin - 1, 1))) --parsed.begin;
    std::string_view rest = line.substr(parsed.begin);
    parsed.range = TakeWord(rest);
    parsed.permission = TakeWord(rest);
    parsed.offset = TakeWord(rest);
    const size_t in_range = dash - parsed.begin;
    if (!IsHex(parsed.range.substr(0, in_range)) || !IsHex(parsed.range.substr(in_range + 1))) continue;
    if (parsed.permission.size() != 4 || !IsHex(parsed.offset)) continue;
    TakeWord(rest);  // the device
    TakeWord(rest);  // the inode
    parsed.path = rest;
    return parsed;
  }
  return std::nullopt;
}

std::string ReducedPath(std::string_view path) {
  const bool is_public = path.starts_with("/usr/lib") || path.starts_with("/lib") || !path.starts_with('/');
  if (is_public) return std::string(path);
  path.remove_prefix(path.rfind('/') + 1);
  return format("/debug/pprof/{}", path.substr(0, path.find(' ')));  // without " (deleted)"
}

}  // namespace

// Walks from the last line to the first that is none of a memory map.
void ReduceMemoryMap(std::string& profile) {
  std::vector<std::string> kept;  // the last one first
  size_t end = profile.find_last_not_of('\n') + 1;
  while (end > 0) {
    const size_t line_begin = profile.rfind('\n', end - 1) + 1;  // npos + 1 is 0
    const auto line = ParseMapLine(std::string_view(profile).substr(line_begin, end - line_begin));
    if (!line) break;
    if (line->permission.contains('x')) {
      kept.push_back(
          format("{} {} {} 00:00 0 {}\n", line->range, line->permission, line->offset, ReducedPath(line->path)));
    }
    end = line_begin + line->begin;
    if (line->begin > 0 || end == 0) break;
    --end;  // the line break
  }
  const bool breaks = end > 0 && end < profile.size() && profile[end] == '\n';
  profile.resize(end + (breaks ? 1 : 0));
  for (const std::string& line : std::views::reverse(kept)) profile += line;
}

}  // namespace mi::telemetry
