#include "support/power_cut_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <new>
#include <random>
#include <set>

#include "base/mutex.h"

namespace mi::tests {
namespace {

constexpr int64_t kSector = 512;

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The state of a file after a power cut at this moment.
struct Durable {
  bool exists = false;
  std::string bytes;
  std::set<int64_t> unsynced;                              // sectors written since the last sync
  int64_t shortest = std::numeric_limits<int64_t>::max();  // smallest size since the last sync
  bool deleted = false;                                    // since the last sync of any file

  void Delete() {
    exists = false;
    bytes.clear();
    deleted = false;
  }
};

}  // namespace

struct PowerCutVfs::Impl {
  std::string name;
  sqlite3_vfs vfs{};
  sqlite3_vfs* base = nullptr;

  mutable Mutex mutex;
  std::map<std::string, Durable> files GUARDED_BY(mutex);
  uint64_t changes GUARDED_BY(mutex) = 0;
  uint64_t cut_at GUARDED_BY(mutex) = std::numeric_limits<uint64_t>::max();
  bool off GUARDED_BY(mutex) = false;
  bool full GUARDED_BY(mutex) = false;
  int open GUARDED_BY(mutex) = 0;

  // Counts a change. Returns false if the power is off before it happens.
  bool Change() REQUIRES(mutex) {
    if (++changes >= cut_at) off = true;
    return !off;
  }
  Durable& Track(const std::string& path) REQUIRES(mutex) {
    const auto [file, added] = files.try_emplace(path);
    if (added && std::filesystem::exists(path)) file->second = {.exists = true, .bytes = ReadWhole(path)};
    return file->second;
  }
};

namespace {

using Impl = PowerCutVfs::Impl;

// SQLite allocates it, followed by the file of the default VFS.
struct File : sqlite3_file {
  Impl* impl;
  std::string* path;  // null for a temporary file, which need not survive
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File& Of(sqlite3_file* file) { return *static_cast<File*>(file); }

int Close(sqlite3_file* file) {
  File& f = Of(file);
  MutexLock lock(f.impl->mutex);
  --f.impl->open;
  delete f.path;
  return f.real()->pMethods->xClose(f.real());
}

int Read(sqlite3_file* file, void* bytes, int size, sqlite3_int64 at) {
  File& f = Of(file);
  MutexLock lock(f.impl->mutex);
  if (f.impl->off) return SQLITE_IOERR_READ;
  return f.real()->pMethods->xRead(f.real(), bytes, size, at);
}

int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
  File& f = Of(file);
  MutexLock lock(f.impl->mutex);
  if (!f.impl->Change()) return SQLITE_IOERR_WRITE;
  sqlite3_int64 now = 0;
  f.real()->pMethods->xFileSize(f.real(), &now);
  if (f.impl->full && at + size > now) return SQLITE_FULL;
  if (f.path != nullptr) {
    Durable& durable = f.impl->Track(*f.path);
    for (int64_t s = at / kSector; s * kSector < at + size; ++s) durable.unsynced.insert(s);
  }
  return f.real()->pMethods->xWrite(f.real(), bytes, size, at);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  File& f = Of(file);
  MutexLock lock(f.impl->mutex);
  if (!f.impl->Change()) return SQLITE_IOERR_TRUNCATE;
  if (f.path != nullptr) {
    Durable& durable = f.impl->Track(*f.path);
    durable.shortest = std::min<int64_t>(durable.shortest, size);
    durable.unsynced.erase(durable.unsynced.lower_bound((size + kSector - 1) / kSector), durable.unsynced.end());
  }
  return f.real()->pMethods->xTruncate(f.real(), size);
}

// The default VFS need not sync, because this VFS decides what survives.
int Sync(sqlite3_file* file, int) {
  File& f = Of(file);
  MutexLock lock(f.impl->mutex);
  if (!f.impl->Change()) return SQLITE_IOERR_FSYNC;
  if (f.path == nullptr) return SQLITE_OK;
  for (auto& [path, other] : f.impl->files) {
    if (other.deleted) other.Delete();
  }
  Durable& durable = f.impl->Track(*f.path);
  sqlite3_int64 size = 0;
  f.real()->pMethods->xFileSize(f.real(), &size);
  const auto kept = std::min<int64_t>({durable.shortest, size, static_cast<int64_t>(durable.bytes.size())});
  durable.bytes.resize(static_cast<size_t>(kept));
  durable.bytes.resize(static_cast<size_t>(size));
  for (const int64_t sector : durable.unsynced) {
    const int64_t at = sector * kSector;
    const int length = static_cast<int>(std::min<int64_t>(kSector, size - at));
    if (length > 0) f.real()->pMethods->xRead(f.real(), durable.bytes.data() + at, length, at);
  }
  durable.exists = true;
  durable.unsynced.clear();
  durable.shortest = std::numeric_limits<int64_t>::max();
  return SQLITE_OK;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return Of(file).real()->pMethods->xFileSize(Of(file).real(), size);
}
int Lock(sqlite3_file* file, int level) { return Of(file).real()->pMethods->xLock(Of(file).real(), level); }
int Unlock(sqlite3_file* file, int level) { return Of(file).real()->pMethods->xUnlock(Of(file).real(), level); }
int CheckReservedLock(sqlite3_file* file, int* out) {
  return Of(file).real()->pMethods->xCheckReservedLock(Of(file).real(), out);
}
int FileControl(sqlite3_file* file, int operation, void* argument) {
  // A size hint must not change the file, because the model would not see that.
  if (operation == SQLITE_FCNTL_SIZE_HINT) return SQLITE_OK;
  return Of(file).real()->pMethods->xFileControl(Of(file).real(), operation, argument);
}
int SectorSize(sqlite3_file* file) { return Of(file).real()->pMethods->xSectorSize(Of(file).real()); }
int DeviceCharacteristics(sqlite3_file* file) {
  return Of(file).real()->pMethods->xDeviceCharacteristics(Of(file).real());
}
int ShmMap(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return Of(file).real()->pMethods->xShmMap(Of(file).real(), page, size, extend, out);
}
int ShmLock(sqlite3_file* file, int offset, int n, int flags) {
  return Of(file).real()->pMethods->xShmLock(Of(file).real(), offset, n, flags);
}
void ShmBarrier(sqlite3_file* file) { Of(file).real()->pMethods->xShmBarrier(Of(file).real()); }
int ShmUnmap(sqlite3_file* file, int remove) { return Of(file).real()->pMethods->xShmUnmap(Of(file).real(), remove); }

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 2,  // no memory maps, which would bypass xWrite
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = Lock,
    .xUnlock = Unlock,
    .xCheckReservedLock = CheckReservedLock,
    .xFileControl = FileControl,
    .xSectorSize = SectorSize,
    .xDeviceCharacteristics = DeviceCharacteristics,
    .xShmMap = ShmMap,
    .xShmLock = ShmLock,
    .xShmBarrier = ShmBarrier,
    .xShmUnmap = ShmUnmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

Impl& Of(sqlite3_vfs* vfs) { return *static_cast<Impl*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags, int* out_flags) {
  Impl& impl = Of(vfs);
  File* f = new (file) File{};
  MutexLock lock(impl.mutex);
  if (impl.off) return SQLITE_CANTOPEN;
  if (path != nullptr) impl.Track(path);  // before the default VFS creates it
  const int result = impl.base->xOpen(impl.base, path, f->real(), flags, out_flags);
  if (result != SQLITE_OK) return result;
  f->pMethods = &kMethods;
  f->impl = &impl;
  f->path = path == nullptr ? nullptr : new std::string(path);
  ++impl.open;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* path, int sync_directory) {
  Impl& impl = Of(vfs);
  MutexLock lock(impl.mutex);
  if (!impl.Change()) return SQLITE_IOERR_DELETE;
  Durable& durable = impl.Track(path);
  durable.unsynced.clear();
  durable.shortest = 0;
  durable.deleted = true;
  if (sync_directory != 0) durable.Delete();
  return impl.base->xDelete(impl.base, path, 0);
}

int Access(sqlite3_vfs* vfs, const char* path, int flags, int* out) {
  return Of(vfs).base->xAccess(Of(vfs).base, path, flags, out);
}
int FullPathname(sqlite3_vfs* vfs, const char* path, int size, char* out) {
  return Of(vfs).base->xFullPathname(Of(vfs).base, path, size, out);
}
int Randomness(sqlite3_vfs* vfs, int size, char* out) { return Of(vfs).base->xRandomness(Of(vfs).base, size, out); }
int Sleep(sqlite3_vfs* vfs, int microseconds) { return Of(vfs).base->xSleep(Of(vfs).base, microseconds); }
int CurrentTime(sqlite3_vfs* vfs, double* out) { return Of(vfs).base->xCurrentTime(Of(vfs).base, out); }
int CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* out) {
  return Of(vfs).base->xCurrentTimeInt64(Of(vfs).base, out);
}
int GetLastError(sqlite3_vfs* vfs, int size, char* out) { return Of(vfs).base->xGetLastError(Of(vfs).base, size, out); }

}  // namespace

PowerCutVfs::PowerCutVfs(std::string name) : impl_(std::make_unique<Impl>()) {
  impl_->name = std::move(name);
  impl_->base = sqlite3_vfs_find(nullptr);
  impl_->vfs.iVersion = 2;
  impl_->vfs.szOsFile = static_cast<int>(sizeof(File)) + impl_->base->szOsFile;
  impl_->vfs.mxPathname = impl_->base->mxPathname;
  impl_->vfs.zName = impl_->name.c_str();
  impl_->vfs.pAppData = impl_.get();
  impl_->vfs.xOpen = Open;
  impl_->vfs.xDelete = Delete;
  impl_->vfs.xAccess = Access;
  impl_->vfs.xFullPathname = FullPathname;
  impl_->vfs.xRandomness = Randomness;
  impl_->vfs.xSleep = Sleep;
  impl_->vfs.xCurrentTime = CurrentTime;
  impl_->vfs.xGetLastError = GetLastError;
  impl_->vfs.xCurrentTimeInt64 = CurrentTimeInt64;
  sqlite3_vfs_register(&impl_->vfs, 0);
}

PowerCutVfs::~PowerCutVfs() { sqlite3_vfs_unregister(&impl_->vfs); }

const std::string& PowerCutVfs::name() const { return impl_->name; }

void PowerCutVfs::Cut() {
  MutexLock lock(impl_->mutex);
  impl_->off = true;
}

void PowerCutVfs::CutAfter(uint64_t changes) {
  MutexLock lock(impl_->mutex);
  impl_->cut_at = impl_->changes + changes;
}

bool PowerCutVfs::is_off() const {
  MutexLock lock(impl_->mutex);
  return impl_->off;
}

uint64_t PowerCutVfs::changes() const {
  MutexLock lock(impl_->mutex);
  return impl_->changes;
}

void PowerCutVfs::SetDiskFull(bool full) {
  MutexLock lock(impl_->mutex);
  impl_->full = full;
}

void PowerCutVfs::Restore(Unsynced unsynced, uint64_t seed) {
  MutexLock lock(impl_->mutex);
  if (impl_->open != 0) {
    std::fprintf(stderr, "PowerCutVfs: %d files are open; close all connections before the power is back\n",
                 impl_->open);
    std::abort();
  }
  std::mt19937_64 random(seed);
  for (auto& [path, durable] : impl_->files) {
    if (unsynced == Unsynced::kRandomSectors) {
      if (durable.deleted && random() % 2 == 0) durable.Delete();
      const std::string written = std::filesystem::exists(path) ? ReadWhole(path) : "";
      for (const int64_t sector : durable.unsynced) {
        const auto at = static_cast<size_t>(sector * kSector);
        if (random() % 2 == 0 || at >= written.size()) continue;
        const std::string_view kept = std::string_view(written).substr(at, kSector);
        if (durable.bytes.size() < at + kept.size()) durable.bytes.resize(at + kept.size());
        durable.bytes.replace(at, kept.size(), kept);
        durable.exists = true;
      }
    }
    std::filesystem::remove(path + "-shm");
    std::filesystem::remove(path);
    if (durable.exists) std::ofstream(path, std::ios::binary) << durable.bytes;
  }
  impl_->files.clear();
  impl_->cut_at = std::numeric_limits<uint64_t>::max();
  impl_->off = false;
}

}  // namespace mi::tests
