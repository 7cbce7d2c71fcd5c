#include "app/seen_table.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>

namespace mi::app {
namespace {

double SecondsSince(const Clock& clock, std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(clock.Steady() - begun).count();
}

bool Exists(const std::string& path) {
  struct stat found{};
  return lstat(path.c_str(), &found) == 0 || errno != ENOENT;
}

// A refused snapshot must be deleted: when the catalogue has grown past it, it would be accepted again, without the
// series that the catalogue lost in between.
void Discard(const std::string& path, const Error& why, telemetry::Logger& log) {
  log.Warn("the snapshot of known series is discarded, the catalogue is read instead: {}", why.message());
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) {
    log.Error("{} cannot be deleted: {}; delete it before the next start, which might believe it", path,
              error.message());
  }
}

Status FillFromStore(dedupe::SeenSet& seen, const SeenTableDeps& deps) {
  constexpr uint64_t kSeriesPerQuestion = 4096;
  uint64_t read = 0;
  bool stopped = false;
  Status filled = deps.reader.ReadFingerprints([&](model::Fingerprint fingerprint, int64_t last_seen_ms) {
    if (read++ % kSeriesPerQuestion == 0) stopped = deps.stop_requested();
    if (!stopped) seen.Insert(fingerprint, last_seen_ms);
    return !stopped;
  });
  if (stopped)
    return Fail(Errc::kUnavailable, "a stop was requested while the known series were read from the catalogue");
  return filled;
}

}  // namespace

// A table that knows a series which the catalogue does not have would lose that series: it would never be published
// again. So a snapshot counts only if it belongs to this catalogue and this journal and is not ahead of them; otherwise
// it is deleted. The way without a snapshot reads the fingerprint of every series from the store. That is slow, but
// relies on nothing else.
Result<std::unique_ptr<dedupe::SeenSet>> OpenSeenTable(const std::string& snapshot_path,
                                                       const dedupe::SnapshotBinding& now,
                                                       const dedupe::SeenOptions& options, const SeenTableDeps& deps) {
  const auto begun = deps.clock.Steady();
  auto restored = dedupe::ReadSnapshot(snapshot_path, now, options, deps.clock);
  if (restored) {
    deps.log.Info("{} known series from the snapshot in {:.1f} s", (*restored)->stats().entries,
                  SecondsSince(deps.clock, begun));
    return restored;
  }
  if (Exists(snapshot_path)) Discard(snapshot_path, restored.error(), deps.log);
  auto seen = std::make_unique<dedupe::SeenSet>(options, deps.clock);
  TRY(FillFromStore(*seen, deps));
  deps.log.Info("{} known series from the catalogue in {:.1f} s", seen->stats().entries,
                SecondsSince(deps.clock, begun));
  return seen;
}

void SaveSeenTable(dedupe::SeenSet& seen, const std::string& snapshot_path,
                   const std::function<Result<dedupe::SnapshotBinding>()>& binding, telemetry::Logger& log) {
  if (const Status written = dedupe::WriteSnapshot(seen, snapshot_path, binding); !written) {
    log.Warn("no snapshot of known series was written, the next start reads the catalogue: {}",
             written.error().message());
  }
}

}  // namespace mi::app
