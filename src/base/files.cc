#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/file_descriptor.h"
#include "base/format.h"

namespace mi {

std::filesystem::path FolderOf(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  return folder.empty() ? "." : folder;
}

Status MoveIntoPlace(const std::string& from, const std::string& to) {
  assert(FolderOf(from) == FolderOf(to));
  const FileDescriptor folder(open(FolderOf(to).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.valid() && rename(from.c_str(), to.c_str()) == 0 && fsync(folder.get()) == 0) return {};
  return Fail(Errc::kUnavailable, format("{} cannot be put in place: {}", to, std::generic_category().message(errno)));
}

}  // namespace mi
