// Asks Redis what it knows: look-ups of several requests together, in pipelined MGETs.
//
// Threads: safe; one thread a connection, which also gives the answers.
// A look-up is answered within redis.timeout, counted from Ask(): those that wait are taken in their order, and none is
// waited for longer than the first of its round may wait. One that has waited for half of that is not asked any more:
// that says that there are too many of them, not that Redis is away. What waits is bounded, in keys and in bytes.
#pragma once

#include <chrono>
#include <deque>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "dedupe/redis_line.h"
#include "dedupe/redis_parts.h"
#include "dedupe/shared_tier.h"

namespace mi::dedupe {

class RedisLookups {
 public:
  RedisLookups(size_t connections, RedisParts deps);
  ~RedisLookups() { Stop(); }

  // `held_bytes`: what the answer keeps in memory.
  void Ask(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, SharedTier::Answer answer) EXCLUDES(mutex_);
  // Answers what waits with an error. Raise the interrupt before, or it waits for what is under way.
  void Stop() EXCLUDES(mutex_);

 private:
  using Fingerprints = std::vector<model::Fingerprint>;
  struct Question {
    Fingerprints fingerprints;
    size_t held_bytes;
    SharedTier::Answer answer;
    RedisConnection::Deadline deadline;
  };
  // The next questions, all taken together.
  struct Round {
    Round();
    std::vector<Question> late;   // waited for too long to be asked
    std::vector<Question> asked;  // up to so many keys, at least one question
  };

  void Run() EXCLUDES(mutex_);
  // False once it stops.
  bool Take(size_t most_keys, Round& round) EXCLUDES(mutex_);
  Question TakeFirst() REQUIRES(mutex_);
  void AnswerRound(std::vector<Question>& round, RedisLine& line, size_t keys_a_command);
  // One answer a question, in order.
  Result<std::vector<std::vector<bool>>> AskRound(const std::vector<Question>& round, RedisLine& line,
                                                  size_t keys_a_command);
  void Count(const std::vector<bool>& known);
  // Once a question, whoever comes first.
  static void Answer(Question& question, Result<std::vector<bool>> known);
  void Refuse(Question& question, const Error& error);

  const RedisParts deps_;
  Mutex mutex_;
  CondVar asked_;
  std::deque<Question> questions_ GUARDED_BY(mutex_);
  size_t waiting_keys_ GUARDED_BY(mutex_) = 0;
  size_t waiting_bytes_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace mi::dedupe
