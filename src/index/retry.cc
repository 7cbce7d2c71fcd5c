#include "index/retry.h"

namespace mi::index {

std::chrono::milliseconds Retry::Failed(const Attempted& attempted, const Error& error) {
  if (attempted.of == Of::kStore) {
    metrics_.CountStoreError(ToString(error.code()));
    metrics_.NoteStoreUp(false);
  }
  unsigned& failures = failures_[std::to_underlying(attempted.of)];
  ++failures;
  // The 1st, 2nd, 4th …: a night of failures is a dozen lines.
  if (std::has_single_bit(failures)) {
    log_.Warn("index: {}: {} ({}); attempt {}, trying again", attempted.what, error.message(), ToString(error.code()),
              failures);
  }
  {
    MutexLock lock(mutex_);
    errors_[std::to_underlying(attempted.of)] = error.Within(attempted.what);
  }
  const int64_t factor = int64_t{1} << std::min(failures - 1, 20U);
  return std::min(longest_, first_ * factor);
}

void Retry::Succeeded(Of of) {
  unsigned& failures = failures_[std::to_underlying(of)];
  if (failures == 0) return;
  log_.Info("index: works again, after {} failed attempts", std::exchange(failures, 0));
  if (of == Of::kStore) metrics_.NoteStoreUp(true);
  MutexLock lock(mutex_);
  errors_[std::to_underlying(of)].reset();
}

}  // namespace mi::index
