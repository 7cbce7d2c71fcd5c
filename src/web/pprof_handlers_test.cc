#include "web/pprof_handlers.h"

#include "base/format.h"
#include "net/testing/fake_request.h"

namespace mi::web {
namespace {

using net::FakeRequest;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class PprofHandlersTest : public testing::Test {
 protected:
  PprofHandlersTest() { handlers_.RegisterRoutes(router_); }

  net::FakeAnswer Send(const FakeRequest& request) {
    const net::Router::Endpoint* const endpoint = router_.Find(request.path());
    EXPECT_NE(endpoint, nullptr) << request.path();
    return net::Ask(*endpoint->handler, request);
  }
  net::Response Get(std::string_view target) { return Send(FakeRequest("GET", target)).Take(); }

  PprofHandlers handlers_;
  net::Router router_;
};

// The test asks for its name.
extern "C" void a_function_of_the_pprof_test() {}

TEST_F(PprofHandlersTest, TheIndexListsTheProfiles) {
  for (const char* path : {"/debug/pprof", "/debug/pprof/"}) {
    const net::Response page = Get(path);
    EXPECT_EQ(page.status, 200) << path;
    EXPECT_THAT(page.body, AllOf(HasSubstr("profile?seconds=30"), HasSubstr("heap"), HasSubstr("threads")));
  }
}

TEST_F(PprofHandlersTest, ProfilesThatOnlyGoHasAre404WithTheReason) {
  for (const char* name : {"allocs", "trace"}) {
    const net::Response absent = Get(std::string("/debug/pprof/") + name);
    EXPECT_EQ(absent.status, 404) << name;
    EXPECT_THAT(absent.body, HasSubstr(std::string("no profile ") + name + ": "));
    EXPECT_EQ(net::HeaderOf(absent, "X-Go-Pprof"), "1");  // or pprof would not show the reason
  }
  EXPECT_EQ(Get("/debug/pprof/nonsense").status, 404);
  EXPECT_EQ(Get("/debug/pprof/heap/more").status, 404);
}

TEST_F(PprofHandlersTest, ProfilesThatToolsFetchAlongAreEmpty) {
  for (const char* name : {"block", "mutex", "threadcreate"}) {
    const net::Response empty = Get(std::string("/debug/pprof/") + name);
    EXPECT_EQ(empty.status, 200) << name;
    EXPECT_TRUE(empty.body.starts_with("\x1f\x8b")) << name;
  }
}

TEST_F(PprofHandlersTest, SecondsAreValidated) {
  for (const char* query : {"0", "-1", "1.5", "many", "301", "99999999999999999999", ""}) {
    const net::Response refused = Get(std::string("/debug/pprof/profile?seconds=") + query);
    EXPECT_EQ(refused.status, 400) << query;
    EXPECT_THAT(refused.body, HasSubstr("from 1 to 300"));
  }
}

TEST_F(PprofHandlersTest, OtherMethodsAreRefused) {
  EXPECT_EQ(Send(FakeRequest("POST", "/debug/pprof/heap")).Take().status, 405);
  const net::Response refused = Send(FakeRequest("DELETE", "/debug/pprof/symbol")).Take();
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(net::HeaderOf(refused, "Allow"), "GET, HEAD, POST");
}

TEST_F(PprofHandlersTest, GetAndPostNameSymbols) {
  const auto address = reinterpret_cast<uintptr_t>(&a_function_of_the_pprof_test);
  const std::string asked = format("{:#x}+0x1+nonsense+{:#x}", address, address);
  const std::string line = format("{:#x} a_function_of_the_pprof_test\n", address);
  EXPECT_EQ(Get("/debug/pprof/symbol").body, "num_symbols: 1\n");
  EXPECT_EQ(Get("/debug/pprof/symbol?" + asked).body, "num_symbols: 1\n" + line + line);
  EXPECT_EQ(Send(FakeRequest("POST", "/debug/pprof/symbol", asked)).Take().body, "num_symbols: 1\n" + line + line);
  EXPECT_EQ(Send(FakeRequest("POST", "/debug/pprof/symbol", std::string((1 << 20) + 1, '0'))).Take().status, 413);
}

TEST_F(PprofHandlersTest, TheCommandLineIsSeparatedByNul) {
  const net::Response line = Get("/debug/pprof/cmdline");
  EXPECT_THAT(line.body, HasSubstr("web_test"));
  EXPECT_FALSE(line.body.ends_with('\0'));
}

TEST_F(PprofHandlersTest, ThreadsHaveTwoForms) {
  EXPECT_THAT(Get("/debug/pprof/threads").body,
              AllOf(StartsWith("--- threadz 1 ---\n"), HasSubstr("CollectThreadStacks")));
  EXPECT_THAT(Get("/debug/pprof/goroutine").body, StartsWith("goroutine profile: total "));
}

TEST_F(PprofHandlersTest, OneProfileRunsAtATimeAndQuickRequestsDoNotWaitForIt) {
  net::FakeAnswer first = Send(FakeRequest("GET", "/debug/pprof/heap?seconds=300"));
  const net::Response second = Get("/debug/pprof/profile?seconds=1");
  EXPECT_EQ(second.status, 409);
  EXPECT_THAT(second.body, HasSubstr("another profile"));
  EXPECT_EQ(Get("/debug/pprof/symbol").status, 200);
  EXPECT_FALSE(first.arrived());
  handlers_.Stop();
  EXPECT_NE(first.Take().status, 409);  // a profile, or why there is none
}

TEST_F(PprofHandlersTest, AStopAnswersTheRunningProfile) {
  net::FakeAnswer profile = Send(FakeRequest("GET", "/debug/pprof/profile?seconds=300"));
  EXPECT_EQ(Get("/debug/pprof/symbol").status, 200);  // in order, so the profile has begun
  handlers_.Stop();
  const net::Response answer = profile.Take();
  if (answer.status == 503) {
    EXPECT_THAT(answer.body, HasSubstr("sanitizer"));
  } else {
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.body, HasSubstr("r-xp"));  // the memory map
  }
  const net::Response late = Get("/debug/pprof/threads");
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(net::HeaderOf(late, "Retry-After"), "1");
}

}  // namespace
}  // namespace mi::web
