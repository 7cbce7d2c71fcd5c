#include "telemetry/profiling/profiles.h"

#include <pthread.h>

#include <csignal>
#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include "telemetry/profiling/symbols.h"
#include "telemetry/profiling/thread_stacks.h"

namespace mi::telemetry {
namespace {

using testing::HasSubstr;

// Waits in libc, which has no frame pointers, below a function that has a name.
[[gnu::noinline]] void WaitInAFunctionWithAName(std::promise<pid_t>& started, std::future<void> end) {
  started.set_value(gettid());
  end.wait();
  asm volatile("");  // so that the call above is no tail call
}

// A thread that waits until the fixture is destroyed.
class ThreadStacks : public testing::Test {
 protected:
  ThreadStacks() {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "waits");
      WaitInAFunctionWithAName(started_, end_.get_future());
    });
    id_ = started_.get_future().get();
  }
  ~ThreadStacks() override {
    end_.set_value();
    thread_.join();
  }

  void SetUp() override {
#ifdef MI_SANITIZES_THREAD
    GTEST_SKIP() << "ThreadSanitizer holds signals back";
#endif
  }

  ThreadStack Waiting() const {
    for (ThreadStack& stack : CollectThreadStacks()) {
      if (stack.id == id_) return std::move(stack);
    }
    return {};
  }
  static std::string Names(const ThreadStack& stack) {
    const Symbols symbols;
    std::string names;
    for (const uintptr_t frame : stack.frames) names += Demangled(symbols.NameOf(frame - 1)) + "\n";
    return names;
  }

  std::promise<pid_t> started_;
  std::promise<void> end_;
  std::thread thread_;
  pid_t id_ = 0;
};

TEST_F(ThreadStacks, ReachThroughLibcToTheWaitingFunction) {
  const ThreadStack stack = Waiting();
  EXPECT_EQ(stack.name, "waits");
  EXPECT_THAT(Names(stack), HasSubstr("WaitInAFunctionWithAName"));
  EXPECT_THAT(Names(stack), testing::Not(HasSubstr("OnStackSignal")));
}

TEST_F(ThreadStacks, ContainTheCallingThread) {
  std::string all;
  for (const ThreadStack& stack : CollectThreadStacks()) all += Names(stack);
  EXPECT_THAT(all, HasSubstr("CollectThreadStacks"));
}

TEST_F(ThreadStacks, NameAThreadThatBlocksSignals) {
  std::promise<pid_t> blocked;
  std::promise<void> end;
  std::thread thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    blocked.set_value(gettid());
    end.get_future().wait();
  });
  const pid_t id = blocked.get_future().get();
  const std::vector<ThreadStack> stacks = CollectThreadStacks();
  const auto stack = std::ranges::find(stacks, id, &ThreadStack::id);
  ASSERT_NE(stack, stacks.end());
  EXPECT_EQ(stack->why_empty, "it blocks signals");
  end.set_value();
  thread.join();
}

TEST(ThreadText, IsWhatPprofReads) {
  const std::vector<ThreadStack> threads = {{.id = 26, .name = "a", .frames = {0x10, 0x20}},
                                            {.id = 27, .name = "b", .frames = {0x10, 0x20}},
                                            {.id = 28, .name = "c", .why_empty = "it blocks signals"}};
  const std::string text = ThreadsText(threads);
  EXPECT_THAT(text, testing::StartsWith("--- threadz 1 ---\n"));
  EXPECT_THAT(text, HasSubstr("# no stack of 28 (c): it blocks signals\n"));
  EXPECT_THAT(text, HasSubstr("--- Thread 1a (name: a/26) stack: ---\n  PC: 0x0000000000000010: ?\n"));
  EXPECT_THAT(text, HasSubstr("--- Memory map: ---\n"));
  EXPECT_THAT(GoroutineText(threads), testing::StartsWith("goroutine profile: total 2\n2 @ 0x10 0x20\n#\t0x10\t?\n"));
}

TEST(Symbols, NameStaticFunctions) {
  const Symbols symbols;
  const auto address = [](auto* function) { return reinterpret_cast<uintptr_t>(function); };
  EXPECT_THAT(Demangled(symbols.NameOf(address(&WaitInAFunctionWithAName))), HasSubstr("WaitInAFunctionWithAName"));
  EXPECT_EQ(symbols.NameOf(0x10), "");
  EXPECT_EQ(Demangled("main"), "main");
}

TEST(Symbols, ReduceTheMemoryMapToWhatPprofNeeds) {
  std::ifstream file("/proc/self/maps");
  std::string maps{std::istreambuf_iterator<char>(file), {}};
  ASSERT_THAT(maps, testing::AllOf(HasSubstr("/bin/telemetry_test\n"), HasSubstr("[stack]")));
  ReduceMemoryMap(maps);
  EXPECT_THAT(maps, testing::Not(HasSubstr("/bin/telemetry_test\n")));
  EXPECT_THAT(maps, testing::Not(HasSubstr("[stack]")));
  EXPECT_THAT(maps, HasSubstr(" /debug/pprof/telemetry_test\n"));
  EXPECT_THAT(maps, HasSubstr("/libc.so.6\n"));
}

TEST(Symbols, FindTheMemoryMapBehindTextAndBehindBytes) {
  const std::string map =
      "55d0c000-55d0d000 r--p 00000000 fe:01 123                        /opt/mi/bin/metric-index (deleted)\n"
      "55d0d000-55d1f000 r-xp 00001000 fe:01 123                        /opt/mi/bin/metric-index (deleted)\n"
      "7f001000-7f002000 rw-p 00000000 00:00 0                          [heap]\n"
      "7f003000-7f004000 r-xp 00002000 fe:01 9 /usr/lib/x86_64-linux-gnu/libc.so.6\n"
      "7f005000-7f006000 r-xp 00000000 00:00 0\n";
  const std::string reduced =
      "55d0d000-55d1f000 r-xp 00001000 00:00 0 /debug/pprof/metric-index\n"
      "7f003000-7f004000 r-xp 00002000 00:00 0 /usr/lib/x86_64-linux-gnu/libc.so.6\n"
      "7f005000-7f006000 r-xp 00000000 00:00 0 \n";
  const std::string bytes("\x01-\n-a\0\0\0", 8);
  for (const std::string& front : {std::string(), std::string("heap profile:\n\nMAPPED_LIBRARIES:\n"), bytes}) {
    std::string profile = front + map;
    ReduceMemoryMap(profile);
    EXPECT_EQ(profile, front + reduced);
  }
  std::string none = "no map\n";
  ReduceMemoryMap(none);
  EXPECT_EQ(none, "no map\n");
}

// Uses CPU time until it is destroyed.
class Burner {
 public:
  ~Burner() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_{[this] {
    while (!stop_) {
    }
  }};
};

TEST(CpuProfile, RunsOneAtATime) {
  const Status started = StartCpuProfile();
  if (!started) GTEST_SKIP() << started.error().message();
  const Status second = StartCpuProfile();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kUnavailable);
  {
    const Burner burner;
  }
  const Result<std::string> profile = FinishCpuProfile();
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_THAT(*profile, HasSubstr("[stack]"));  // the memory map
  ASSERT_TRUE(StartCpuProfile());
  EXPECT_TRUE(FinishCpuProfile());
}

TEST(HeapProfile, ReportsWhyThereIsNone) {
  const Result<std::string> profile = HeapProfile();
  ASSERT_FALSE(profile);  // tests do not restart themselves
  EXPECT_THAT(profile.error().message(),
              testing::AnyOf(HasSubstr("TCMALLOC_SAMPLE_PARAMETER"), HasSubstr("sanitizer")));
}

}  // namespace
}  // namespace mi::telemetry
