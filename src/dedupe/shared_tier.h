// What all producers of a fleet know together: the tier behind the local seen table.
//
// It only saves work. A series that it cannot answer for counts as unknown and is published: a duplicate is cheap, a
// lost series is not.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

// Threads: safe. Ownership: copies fingerprints.
class SharedTier {
 public:
  // One flag per fingerprint, in order: whether some producer knows it to be durable.
  using Answer = std::move_only_function<void(Result<std::vector<bool>>)>;

  virtual ~SharedTier() = default;

  // Never blocks. Calls `answer` exactly once, from any thread, possibly before it returns, also when the tier is
  // stopped. Answers with an error if the tier is away, overloaded or too slow; everything then counts as unknown.
  // `held_bytes` is the memory that `answer` keeps meanwhile: the labels of the series. `answer` must not throw.
  virtual void Lookup(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, Answer answer) = 0;

  // Tells the other producers, in the background, that series are durable. Never blocks; drops and counts what does not
  // fit.
  virtual void Remember(std::span<const model::Fingerprint> fingerprints) = 0;

  // kUnavailable: the tier is away and will come back. kInvalid: a person must act; the message names the option.
  virtual Status Health() const = 0;
};

}  // namespace mi::dedupe
