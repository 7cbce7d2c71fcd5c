// What all producers of a fleet know together: the tier behind the local seen table.
//
// It only ever saves work. Whatever it cannot answer counts as unknown and is published: a duplicate is cheap, a lost
// series is not.
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
  // One flag a fingerprint, in order: whether some producer knows it to be durable.
  using Answer = std::move_only_function<void(Result<std::vector<bool>>)>;

  virtual ~SharedTier() = default;

  // Never blocks. Calls `answer` exactly once, from any thread, possibly before it returns, also at a stop. An error
  // when it is away, overloaded or too slow: then everything counts as unknown. It must not throw. `held_bytes`: what
  // `answer` keeps in memory meanwhile, the series' labels.
  virtual void Lookup(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, Answer answer) = 0;

  // Tells the others, in the background. Only what is durable. Never blocks; what does not fit is dropped and counted.
  virtual void Remember(std::span<const model::Fingerprint> fingerprints) = 0;

  // kUnavailable: away, it comes back by itself. kInvalid: a person is needed; the text names the option.
  virtual Status Health() const = 0;
};

}  // namespace mi::dedupe
