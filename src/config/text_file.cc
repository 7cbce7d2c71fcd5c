#include "config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/file_descriptor.h"
#include "base/format.h"

namespace mi::config {

Result<std::string> ReadSmallFile(const std::string& path, uint64_t limit) {
  const auto unreadable = [&](std::string_view why) {
    return Fail(Errc::kInvalid, mi::format("{}: cannot be read: {}", path, why));
  };
  // O_NONBLOCK: opening a FIFO would wait for a writer.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat found{};
  if (!file.valid() || ::fstat(file.get(), &found) != 0) return unreadable(std::generic_category().message(errno));
  if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) {
    return unreadable("a pipe, socket or device, no regular file");
  }
  std::string text;
  std::array<char, 16 * 1024> piece;
  for (;;) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(std::generic_category().message(errno));
    if (got == 0) return text;
    text.append(piece.data(), static_cast<size_t>(got));
    if (text.size() > limit) {
      return Fail(Errc::kInvalid,
                  mi::format("{}: larger than {}, which no such file should be", path, FormatBytes(limit)));
    }
  }
}

}  // namespace mi::config
