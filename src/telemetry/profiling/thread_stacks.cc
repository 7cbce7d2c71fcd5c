#include "telemetry/profiling/thread_stacks.h"

#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <system_error>
#include <utility>

#include "base/format.h"
#include "base/mutex.h"
#include "telemetry/profiling/symbols.h"

namespace mi::telemetry {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFrames = 100;
// A running thread answers in microseconds. One that is stopped, or sleeps in the kernel uninterruptibly, never does.
constexpr int64_t kTimeoutNs = 500'000'000;

// One question at a time. Each has a number, which the signal carries:
//
//   asker                                     asked thread, in the handler
//   open_question = n; signal(n) ---------->  open_question: n -> 0 (takes the question), else return
//                                             writes frames and count
//   wait(done) <----------------------------  post(done)
//
// If the wait times out, the asker tries the same exchange n -> 0. If that succeeds, nobody writes, and a handler that
// comes later finds another number and returns. If it fails, the handler is writing now, so the asker waits for `done`.
// So each question that is taken is posted and awaited exactly once, only one thread writes the frames, and the asker
// reads them only after the post.
struct Answer {
  std::atomic<int> open_question = 0;  // 0: none
  size_t count = 0;
  std::array<uintptr_t, kMaxFrames> frames;
  sem_t done;
};
Answer g_answer;
Mutex g_one_at_a_time;

_Unwind_Reason_Code AddFrame(_Unwind_Context* context, void*) {
  if (g_answer.count == kMaxFrames) return _URC_END_OF_STACK;
  const uintptr_t address = _Unwind_GetIP(context);
  if (address == 0) return _URC_END_OF_STACK;
  g_answer.frames[g_answer.count++] = address;
  return _URC_NO_REASON;
}

// Walks the stack by the compiler's unwind tables: most threads wait inside of libc, which has no frame pointers. Since
// glibc 2.35 the unwinder finds the tables without a lock and without memory, so it is safe wherever the signal comes.
void OnStackSignal(int, siginfo_t* info, void*) {
  if (info->si_code != SI_QUEUE) return;
  const int asked = info->si_value.sival_int;
  int open = asked;
  if (asked == 0 || !g_answer.open_question.compare_exchange_strong(open, 0)) return;
  const int saved_errno = errno;
  g_answer.count = 0;
  _Unwind_Backtrace(&AddFrame, nullptr);
  sem_post(&g_answer.done);
  errno = saved_errno;
}

bool InstallHandler() {
  // The unwinder initialises itself at its first use, which must not be in a signal handler.
  _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_END_OF_STACK; }, nullptr);
  if (sem_init(&g_answer.done, 0, 0) != 0) return false;
  struct sigaction action{};
  action.sa_sigaction = OnStackSignal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  return sigaction(kStackSignal, &action, nullptr) == 0;
}

bool WaitForAnswer() {
  timespec until{};
  clock_gettime(CLOCK_MONOTONIC, &until);
  const int64_t ns = until.tv_nsec + kTimeoutNs;
  until.tv_sec += ns / 1'000'000'000;
  until.tv_nsec = ns % 1'000'000'000;
  while (sem_clockwait(&g_answer.done, CLOCK_MONOTONIC, &until) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

// Fills g_answer with the stack of `thread`. False if the thread did not answer.
bool Ask(pid_t thread) {
  static int last_question = 0;
  const int question = ++last_question;
  g_answer.open_question = question;
  siginfo_t info{};
  info.si_signo = kStackSignal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = question;
  const bool sent = syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, kStackSignal, &info) == 0;
  if (sent && WaitForAnswer()) return true;
  int expected = question;
  if (g_answer.open_question.compare_exchange_strong(expected, 0)) return false;
  while (sem_wait(&g_answer.done) != 0) {  // EINTR
  }
  return true;
}

std::string FirstLine(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

bool BlocksTheSignal(const fs::path& thread) {
  std::ifstream file(thread / "status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("SigBlk:")) continue;
    return (std::strtoull(line.c_str() + 7, nullptr, 16) >> (kStackSignal - 1) & 1) != 0;
  }
  return false;
}

ThreadStack StackOf(const fs::path& thread) {
  ThreadStack stack{.id = static_cast<pid_t>(std::atoi(thread.filename().c_str())), .name = FirstLine(thread / "comm")};
  if (BlocksTheSignal(thread)) {
    stack.why_empty = "it blocks signals";
  } else if (!Ask(stack.id)) {
    stack.why_empty = "it did not answer";
  } else {
    // The first two frames are the handler's and the kernel's.
    const size_t own = std::min<size_t>(2, g_answer.count);
    stack.frames.assign(g_answer.frames.begin() + own, g_answer.frames.begin() + g_answer.count);
  }
  return stack;
}

// pprof reads every "0x…" of a line as an address, so the name must not contain any. Every frame but the innermost
// holds a return address, which may already belong to the next function; one byte before it does not.
std::string NameForPeople(const Symbols& symbols, uintptr_t address, size_t depth) {
  std::string name = Demangled(symbols.NameOf(depth == 0 ? address : address - 1));
  for (size_t at = 0; (at = name.find("0x", at)) != std::string::npos;) name.replace(at, 2, "0_");
  return name.empty() ? "?" : name;
}

void AppendUnanswered(const std::vector<ThreadStack>& threads, std::string& text) {
  for (const ThreadStack& thread : threads) {
    if (thread.frames.empty()) text += format("# no stack of {} ({}): {}\n", thread.id, thread.name, thread.why_empty);
  }
}

void AppendMemoryMap(std::string& text) {
  text += "--- Memory map: ---\n";
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) text += line + "\n";
  ReduceMemoryMap(text);
}

}  // namespace

std::vector<ThreadStack> CollectThreadStacks() {
  MutexLock lock(g_one_at_a_time);
  static const bool installed = InstallHandler();
  if (!installed) return {};
  std::vector<ThreadStack> stacks;
  std::error_code error;
  std::vector<fs::path> threads;
  for (fs::directory_iterator entry("/proc/self/task", error), end; !error && entry != end; entry.increment(error)) {
    threads.push_back(entry->path());
  }
  for (const fs::path& thread : threads) {
    ThreadStack stack = StackOf(thread);
    if (stack.frames.empty() && !fs::exists(thread, error)) continue;  // it has ended meanwhile
    stacks.push_back(std::move(stack));
  }
  std::ranges::sort(stacks, {}, &ThreadStack::id);
  return stacks;
}

std::string ThreadsText(const std::vector<ThreadStack>& threads) {
  const Symbols symbols;
  std::string text = "--- threadz 1 ---\n\n";
  AppendUnanswered(threads, text);
  for (const ThreadStack& thread : threads) {
    if (thread.frames.empty()) continue;
    text += format("--- Thread {:x} (name: {}/{}) stack: ---\n", thread.id, thread.name, thread.id);
    for (size_t i = 0; i < thread.frames.size(); ++i) {
      text += format("  {}{:#018x}: {}\n", i == 0 ? "PC: " : "    ", thread.frames[i],
                     NameForPeople(symbols, thread.frames[i], i));
    }
  }
  AppendMemoryMap(text);
  return text;
}

std::string GoroutineText(const std::vector<ThreadStack>& threads) {
  std::map<std::vector<uintptr_t>, size_t> counts;
  size_t total = 0;
  for (const ThreadStack& thread : threads) {
    if (thread.frames.empty()) continue;
    ++counts[thread.frames];
    ++total;
  }
  std::vector<std::pair<size_t, std::vector<uintptr_t>>> sorted;
  sorted.reserve(counts.size());
  for (const auto& [frames, count] : counts) sorted.emplace_back(count, frames);
  std::ranges::sort(sorted, std::greater<>());

  const Symbols symbols;
  std::string text = format("goroutine profile: total {}\n", total);
  for (const auto& [count, frames] : sorted) {
    text += format("{} @", count);
    for (const uintptr_t frame : frames) text += format(" {:#x}", frame);
    text += '\n';
    for (size_t i = 0; i < frames.size(); ++i) {
      text += format("#\t{:#x}\t{}\n", frames[i], NameForPeople(symbols, frames[i], i));
    }
    text += '\n';
  }
  AppendUnanswered(threads, text);
  AppendMemoryMap(text);
  return text;
}

}  // namespace mi::telemetry
