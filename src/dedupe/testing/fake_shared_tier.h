// A shared tier in memory, for tests. Answers at once, or when it is told to.
//
//   FakeSharedTier tier;
//   tier.Know(series);
//   tier.SetAway(true);      // every look-up fails
//   tier.HoldAnswers();      // look-ups wait until Release()
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "dedupe/shared_tier.h"

namespace mi::dedupe {

// Threads: safe.
class FakeSharedTier final : public SharedTier {
 public:
  void Lookup(std::vector<model::Fingerprint> fingerprints, size_t /*held_bytes*/, Answer answer) override
      EXCLUDES(mutex_) {
    Question question{std::move(fingerprints), std::move(answer)};
    {
      MutexLock lock(mutex_);
      asked_.insert(asked_.end(), question.fingerprints.begin(), question.fingerprints.end());
      if (holding_) {
        held_.push_back(std::move(question));
        return;
      }
    }
    Tell(std::move(question));
  }

  void Remember(std::span<const model::Fingerprint> fingerprints) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    known_.insert(fingerprints.begin(), fingerprints.end());
  }

  Status Health() const override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (away_) return Fail(Errc::kUnavailable, "away");
    return {};
  }

  // Another producer has remembered these.
  void Know(const std::vector<model::Fingerprint>& fingerprints) { Remember(fingerprints); }
  // The key has expired.
  void Forget(model::Fingerprint fingerprint) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    known_.erase(fingerprint);
  }
  void SetAway(bool away) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    away_ = away;
  }
  void HoldAnswers() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    holding_ = true;
  }
  // Answers what waits, in order, and answers at once from now on.
  void Release() EXCLUDES(mutex_) {
    std::vector<Question> held;
    {
      MutexLock lock(mutex_);
      holding_ = false;
      held.swap(held_);
    }
    for (Question& question : held) Tell(std::move(question));
  }

  bool Knows(model::Fingerprint fingerprint) const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return known_.contains(fingerprint);
  }
  // Every fingerprint that was looked up, repeated ones included.
  std::vector<model::Fingerprint> asked() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return asked_;
  }

 private:
  struct Question {
    std::vector<model::Fingerprint> fingerprints;
    Answer answer;
  };

  void Tell(Question question) EXCLUDES(mutex_) {
    Result<std::vector<bool>> known;
    {
      MutexLock lock(mutex_);
      if (away_) {
        known = Fail(Errc::kUnavailable, "away");
      } else {
        for (const model::Fingerprint& one : question.fingerprints) known->push_back(known_.contains(one));
      }
    }
    question.answer(std::move(known));
  }

  mutable Mutex mutex_;
  std::set<model::Fingerprint> known_ GUARDED_BY(mutex_);
  std::vector<model::Fingerprint> asked_ GUARDED_BY(mutex_);
  std::vector<Question> held_ GUARDED_BY(mutex_);
  bool away_ GUARDED_BY(mutex_) = false;
  bool holding_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::dedupe
