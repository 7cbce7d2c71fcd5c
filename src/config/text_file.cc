#include "config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/format.h"

namespace mi::config {
namespace {

class File {
 public:
  // A FIFO would hold the open up until somebody writes to it.
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }

 private:
  const int fd_;
};

std::unexpected<Error> Unreadable(const std::string& path, int error) {
  return Fail(Errc::kInvalid, mi::format("{}: cannot be read: {}", path, std::generic_category().message(error)));
}

}  // namespace

Result<std::string> ReadSmallFile(const std::string& path, uint64_t limit) {
  const File file(path);
  if (file.fd() < 0) return Unreadable(path, errno);
  struct stat found{};
  if (::fstat(file.fd(), &found) != 0) return Unreadable(path, errno);
  if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) {
    return Fail(Errc::kInvalid, mi::format("{}: cannot be read: a pipe, socket or device, no regular file", path));
  }
  std::string text;
  std::array<char, 16 * 1024> piece;
  for (;;) {
    const ssize_t got = ::read(file.fd(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Unreadable(path, errno);
    if (got == 0) return text;
    text.append(piece.data(), static_cast<size_t>(got));
    if (text.size() > limit) {
      return Fail(Errc::kInvalid,
                  mi::format("{}: larger than {}, which no such file should be", path, FormatBytes(limit)));
    }
  }
}

}  // namespace mi::config
