#include "dedupe/redis_lookups.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/format.h"
#include "dedupe/redis_key.h"
#include "dedupe/redis_thread.h"

namespace mi::dedupe {
namespace {

using std::chrono::steady_clock;

// 16 bytes each, and their series: beyond this it is quicker to publish than to ask.
constexpr size_t kMostWaitingKeys = 1'000'000;
// And what their series are in memory: as much as waits for the journal.
constexpr size_t kMostWaitingBytes = 64UL << 20;
// Of one round: one has so many keys that more would hardly come together.
constexpr size_t kMostQuestions = 1'000;
// Commands of one pipeline that are under way at once: enough to hide the way there and back.
constexpr size_t kWindow = 8;

// Which of the fingerprints Redis has; asks for up to `keys_a_command` with one MGET.
Result<std::vector<bool>> AskFor(RedisConnection& connection, std::span<const model::Fingerprint> fingerprints,
                                 size_t keys_a_command, RedisConnection::Deadline deadline) {
  std::vector<bool> known;
  known.reserve(fingerprints.size());
  std::vector<RedisKey> keys;
  std::vector<std::string_view> words;
  size_t appended = 0;
  const size_t commands = (fingerprints.size() + keys_a_command - 1) / keys_a_command;
  for (size_t answered = 0; answered < commands; ++answered) {
    for (; appended < commands && appended - answered < kWindow; ++appended) {
      const auto part = fingerprints.subspan(appended * keys_a_command)
                            .first(std::min(keys_a_command, fingerprints.size() - appended * keys_a_command));
      keys.clear();
      for (const model::Fingerprint fingerprint : part) keys.emplace_back(fingerprint);
      words.assign(1, "MGET");
      for (const RedisKey& key : keys) words.push_back(key.view());
      connection.Append(words);
    }
    const Result<RedisReply> reply = connection.Read(deadline);
    if (!reply) return Fail(reply.error());
    const size_t expected = std::min(keys_a_command, fingerprints.size() - known.size());
    if ((*reply)->type != REDIS_REPLY_ARRAY || (*reply)->elements != expected) {
      return Fail(Errc::kUnavailable, "redis: an answer to MGET that is none");
    }
    for (const redisReply* element : std::span((*reply)->element, (*reply)->elements)) {
      known.push_back(element->type == REDIS_REPLY_STRING);
    }
  }
  return known;
}

}  // namespace

RedisLookups::RedisLookups(size_t connections, RedisParts deps) : deps_(deps) {
  for (size_t i = 0; i < connections; ++i) threads_.push_back(RedisThread([this] { Run(); }));
}

void RedisLookups::Ask(Fingerprints fingerprints, size_t held_bytes, SharedTier::Answer answer) {
  const size_t keys = fingerprints.size();
  Question question{std::move(fingerprints), held_bytes, std::move(answer),
                    steady_clock::now() + deps_.options.timeout};
  if (keys == 0) return question.answer(std::vector<bool>());
  if (const Status health = deps_.health.up() ? Status() : deps_.health.Get(); !health) {
    return Refuse(question, health.error());
  }
  {
    MutexLock lock(mutex_);
    // Alone, any fits: a request has bounds of its own.
    const bool fits = questions_.empty() ||
                      (waiting_keys_ + keys <= kMostWaitingKeys && waiting_bytes_ + held_bytes <= kMostWaitingBytes);
    if (!stopping_ && fits) {
      waiting_keys_ += keys;
      waiting_bytes_ += held_bytes;
      questions_.push_back(std::move(question));
      asked_.NotifyOne();
      return;
    }
  }
  Refuse(question, Error(Errc::kOverloaded, format("more than {} series or {} wait to be asked for in Redis",
                                                   kMostWaitingKeys, FormatBytes(kMostWaitingBytes))));
}

void RedisLookups::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  asked_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  std::deque<Question> left;
  {
    MutexLock lock(mutex_);
    left.swap(questions_);
  }
  for (Question& question : left) Refuse(question, Error(Errc::kUnavailable, "the service is stopping"));
}

void RedisLookups::Run() {
  RedisLine line(deps_.options, deps_.interrupt);
  Round round;
  for (;;) {
    const size_t keys = deps_.live.Get()->flush_keys;
    if (!Take(keys, round)) return;
    try {
      for (Question& question : round.late) {
        Refuse(question, Error(Errc::kOverloaded, "too many series wait to be asked for in Redis"));
      }
      if (!round.asked.empty()) AnswerRound(round.asked, line, keys);
    } catch (const std::bad_alloc&) {
      // Short enough to need none.
      for (auto* questions : {&round.late, &round.asked}) {
        for (Question& question : *questions) Answer(question, Fail(Errc::kOverloaded, "no memory"));
      }
    }
    round.late.clear();
    round.asked.clear();
  }
}

// Room beforehand: what is taken from the queue must not get lost on the way.
RedisLookups::Round::Round() {
  late.reserve(kMostQuestions);
  asked.reserve(kMostQuestions);
}

bool RedisLookups::Take(size_t most_keys, Round& round) {
  MutexLock lock(mutex_);
  while (questions_.empty() && !stopping_) asked_.Wait(mutex_);
  if (stopping_) return false;
  const auto too_late = steady_clock::now() + deps_.options.timeout / 2;
  while (!questions_.empty() && round.late.size() < kMostQuestions && questions_.front().deadline < too_late) {
    round.late.push_back(TakeFirst());
  }
  if (round.late.size() == kMostQuestions) return true;
  size_t keys = 0;
  while (!questions_.empty() && round.asked.size() < kMostQuestions &&
         (keys == 0 || keys + questions_.front().fingerprints.size() <= most_keys)) {
    keys += questions_.front().fingerprints.size();
    round.asked.push_back(TakeFirst());
  }
  return true;
}

RedisLookups::Question RedisLookups::TakeFirst() {
  Question first = std::move(questions_.front());
  questions_.pop_front();
  waiting_keys_ -= first.fingerprints.size();
  waiting_bytes_ -= first.held_bytes;
  return first;
}

void RedisLookups::AnswerRound(std::vector<Question>& round, RedisLine& line, size_t keys_a_command) {
  // Lost while they waited: each would wait for its time-out.
  if (const Status health = deps_.health.up() ? Status() : deps_.health.Get(); !health) {
    for (Question& question : round) Refuse(question, health.error());
    return;
  }
  Result<std::vector<std::vector<bool>>> answers = AskRound(round, line, keys_a_command);
  if (!answers) {
    for (Question& question : round) Refuse(question, answers.error());
    return;
  }
  for (size_t i = 0; i < round.size(); ++i) {
    Count((*answers)[i]);
    Answer(round[i], std::move((*answers)[i]));
  }
}

Result<std::vector<std::vector<bool>>> RedisLookups::AskRound(const std::vector<Question>& round, RedisLine& line,
                                                              size_t keys_a_command) try {
  Fingerprints all;
  for (const Question& question : round) {
    all.insert(all.end(), question.fingerprints.begin(), question.fingerprints.end());
  }
  const auto deadline = round.front().deadline;
  const Result<std::vector<bool>> known =
      line.Do(deadline, [&](RedisConnection& connection) { return AskFor(connection, all, keys_a_command, deadline); });
  if (!known) {
    if (!deps_.interrupt.raised()) deps_.health.Fails(known.error());  // or it may be that alone
    return Fail(known.error());
  }
  std::vector<std::vector<bool>> answers;
  auto begin = known->begin();
  for (const Question& question : round) {
    const auto end = begin + std::ssize(question.fingerprints);
    answers.emplace_back(begin, end);
    begin = end;
  }
  return answers;
} catch (const std::bad_alloc&) {
  return Fail(Errc::kOverloaded, "no memory");
}

void RedisLookups::Count(const std::vector<bool>& known) {
  const auto found = std::ranges::count(known, true);
  deps_.metrics.known.Add(static_cast<double>(found));
  deps_.metrics.unknown.Add(static_cast<double>(std::ssize(known) - found));
}

void RedisLookups::Answer(Question& question, Result<std::vector<bool>> known) {
  if (SharedTier::Answer answer = std::exchange(question.answer, nullptr)) answer(std::move(known));
}

void RedisLookups::Refuse(Question& question, const Error& error) {
  deps_.metrics.unasked.Add(static_cast<double>(question.fingerprints.size()));
  Answer(question, Fail(error));
}

}  // namespace mi::dedupe
