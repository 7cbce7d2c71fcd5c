#include "app/seen_table.h"

#include <chrono>
#include <filesystem>

namespace mi::app {
namespace {

double SecondsSince(const Clock& clock, std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(clock.Steady() - begun).count();
}

Status FillFromStore(dedupe::SeenSet& seen, store::CatalogReader& reader) {
  return reader.ReadFingerprints([&seen](model::Fingerprint fingerprint, int64_t last_seen_ms) {
    seen.Insert(fingerprint, last_seen_ms);
    return true;
  });
}

}  // namespace

Result<std::unique_ptr<dedupe::SeenSet>> OpenSeenTable(const std::string& snapshot_path,
                                                       const dedupe::SnapshotBinding& now,
                                                       const dedupe::SeenOptions& options, store::CatalogReader& reader,
                                                       const Clock& clock, telemetry::Logger& log) {
  const auto begun = clock.Steady();
  auto restored = dedupe::ReadSnapshot(snapshot_path, now, options, clock);
  if (restored) {
    log.Info("{} known series from the snapshot in {:.1f} s", (*restored)->stats().entries, SecondsSince(clock, begun));
    return restored;
  }
  if (restored.error().code() != Errc::kUnavailable) {
    log.Warn("the snapshot of known series is discarded, the catalogue is read instead: {}",
             restored.error().message());
    // It must never become valid again, when the catalogue has grown past it.
    std::error_code ignored;
    std::filesystem::remove(snapshot_path, ignored);
  }
  auto seen = dedupe::SeenSet::Create(options, clock);
  if (const Status filled = FillFromStore(*seen, reader); !filled) return Fail(filled.error());
  log.Info("{} known series from the catalogue in {:.1f} s", seen->stats().entries, SecondsSince(clock, begun));
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
