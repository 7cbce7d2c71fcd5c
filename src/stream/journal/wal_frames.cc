#include "stream/journal/wal_frames.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <string_view>

#include "base/file_descriptor.h"

namespace mi::stream {
namespace {

// https://www.sqlite.org/fileformat2.html#walformat; all numbers are big-endian.
constexpr size_t kWalHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr size_t kSaltBytes = 8;
constexpr uint32_t kUsualPageBytes = 4096;

uint32_t GetBigEndian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < sizeof(value); ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// `bytes` bytes at `at`, or '' if the file ends before.
std::string ReadAt(const FileDescriptor& file, size_t bytes, int64_t at) {
  std::string read(bytes, '\0');
  const ssize_t size = pread(file.get(), read.data(), bytes, at);
  return size == static_cast<ssize_t>(bytes) ? read : "";
}

}  // namespace

// A frame belongs to the log if it has the salts of the header. Those of the first frame count as well: the damage may
// be in the header.
WalFrames ReadWalFrames(const std::string& path) {
  WalFrames found;
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const std::string header = file.valid() ? ReadAt(file, kWalHeaderBytes, 0) : "";
  if (header.empty()) return found;
  uint32_t page_bytes = GetBigEndian(header, 8);
  if (!std::has_single_bit(page_bytes) || page_bytes < 512 || page_bytes > 65536) page_bytes = kUsualPageBytes;
  const std::string salts = header.substr(16, kSaltBytes);
  std::string first_salts;
  auto at = static_cast<int64_t>(kWalHeaderBytes);
  for (int64_t number = 1;; ++number, at += static_cast<int64_t>(kFrameHeaderBytes + page_bytes)) {
    const std::string frame = ReadAt(file, kFrameHeaderBytes, at);
    if (frame.empty()) return found;
    const std::string here = frame.substr(8, kSaltBytes);
    if (number == 1) first_salts = here;
    if (here != salts && here != first_salts) continue;
    found.frames = number;
    if (GetBigEndian(frame, 4) != 0) found.commits.push_back(number);
  }
}

}  // namespace mi::stream
