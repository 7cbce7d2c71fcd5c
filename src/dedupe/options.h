// The options of the seen table. The defaults are the documented ones.
#pragma once

#include <chrono>
#include <cstdint>

namespace mi::dedupe {

struct SeenOptions {
  // catalog.activity_interval: the length of an activity window, the resolution of "last seen"; at least 1.
  uint64_t activity_interval_s = 3600;
  // metric_store.cache.idle_expire: entries that were not active for this long leave the table; 0: never. Counted in
  // whole windows: an entry stays one or two windows longer, and at most 199 windows.
  uint64_t idle_expire_s = 86'400;
  // metric_store.cache.default_expire: the age at which kKnownConfirm is answered. 0: there is no shared tier to ask;
  // the configuration's default, 1800, is for processes that have one.
  uint64_t confirm_after_s = 0;
  uint64_t max_series = 0;                                                // metric_store.cache.max_series; 0: no limit
  std::chrono::milliseconds cleanup_interval = std::chrono::seconds(60);  // how often the owner calls Sweep()

  bool operator==(const SeenOptions&) const = default;
};

}  // namespace mi::dedupe
