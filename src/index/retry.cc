#include "index/retry.h"

namespace mi::index {

std::chrono::milliseconds Retry::Failed(const Attempted& attempted, const Error& error) {
  if (attempted.of == Of::kStore) {
    metrics_.CountStoreError(ToString(error.code()));
    metrics_.NoteStoreUp(false);
  }
  ++failures_;
  failed_ = attempted.of;
  // The 1st, 2nd, 4th …: a night of failures is a dozen lines.
  if (std::has_single_bit(failures_)) {
    log_.Warn("index: {}: {} ({}); attempt {}, trying again", attempted.what, error.message(), ToString(error.code()),
              failures_);
  }
  {
    MutexLock lock(mutex_);
    error_ = error.Within(attempted.what);
  }
  const int64_t factor = int64_t{1} << std::min(failures_ - 1, 20U);
  return std::min(longest_, first_ * factor);
}

void Retry::Succeeded(Of of) {
  if (failures_ == 0 || of != failed_) return;
  log_.Info("index: works again, after {} failed attempts", failures_);
  failures_ = 0;
  if (of == Of::kStore) metrics_.NoteStoreUp(true);
  MutexLock lock(mutex_);
  error_.reset();
}

}  // namespace mi::index
