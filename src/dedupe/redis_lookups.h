// Asks Redis what it knows: look-ups of several requests together, in pipelined MGETs.
//
// Threads: safe; one thread a connection, which also gives the answers.
// A look-up is answered within redis.timeout, counted from Ask(): those that wait are taken in their order, and none is
// waited for longer than the first of its round may wait.
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

  void Ask(std::vector<model::Fingerprint> fingerprints, SharedTier::Answer answer) EXCLUDES(mutex_);
  // Answers what waits with an error. Raise the interrupt before, or it waits for what is under way.
  void Stop() EXCLUDES(mutex_);

 private:
  using Fingerprints = std::vector<model::Fingerprint>;
  struct Question {
    Fingerprints fingerprints;
    SharedTier::Answer answer;
    RedisConnection::Deadline deadline;
  };

  void Run() EXCLUDES(mutex_);
  // Questions up to so many keys, at least one; none once it stops.
  std::vector<Question> Take(size_t most_keys) EXCLUDES(mutex_);
  void AnswerRound(std::vector<Question> round, RedisLine& line, size_t keys_a_command);
  // One answer a question, in order.
  Result<std::vector<std::vector<bool>>> AskRound(const std::vector<Question>& round, RedisLine& line,
                                                  size_t keys_a_command);
  void Count(const std::vector<bool>& known);
  void Refuse(Question question, const Error& error);

  const RedisParts deps_;
  Mutex mutex_;
  CondVar asked_;
  std::deque<Question> questions_ GUARDED_BY(mutex_);
  size_t waiting_keys_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace mi::dedupe
