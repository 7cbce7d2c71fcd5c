// The few calls that a snapshot makes on a file, with every short count and error dealt with once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mi::dedupe {

// Threads: confined. Errors: kUnavailable, with the path and what the system said.
class SnapshotFile {
 public:
  // Empties what is there.
  static Result<SnapshotFile> CreateEmpty(std::string path);
  static Result<SnapshotFile> OpenExisting(std::string path);
  ~SnapshotFile();
  SnapshotFile(SnapshotFile&& other) noexcept;
  SnapshotFile& operator=(SnapshotFile&&) = delete;

  Result<uint64_t> Size() const;
  Status WriteAt(uint64_t offset, std::string_view bytes);
  // kCorrupt when the file ends before.
  Status ReadAt(uint64_t offset, std::span<char> bytes) const;
  Status Sync();

  const std::string& path() const { return path_; }

 private:
  SnapshotFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_;
};

// After it returns, `to` is what `from` was, also after a power cut. Requires: one directory.
Status ReplaceFile(const std::string& from, const std::string& to);

}  // namespace mi::dedupe
