// Lets requests in: finds out who sends them, and whether the sender may do that (docs/security.md).
//
//   Check ─► login: bearer token, password or client certificate ─► role of the endpoint ─► tenants that are named
//              │ a password that is new
//              └─► PasswordChecker's thread ─► later
//
// A request without a tenant is let in with the caller: the handlers then use the caller's tenants, never more.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "access/login_throttle.h"
#include "access/password_checker.h"
#include "access/rate_limit.h"
#include "access/rules.h"
#include "base/clock.h"
#include "base/live.h"
#include "net/gate.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::access {

// Threads: safe. Ownership: borrows what it is made with.
class Guard final : public net::Gate {
 public:
  Guard(const Clock& clock, telemetry::Logger& log, telemetry::Metrics& metrics);
  ~Guard() override { Stop(); }

  // From now on these rules count; requests that wait for their password keep those with which they came. kInvalid: as
  // Rules::Create; then nothing changes.
  Status Configure(const AccessOptions& options);
  std::optional<Verdict> Check(const net::Request& request, net::Role needed, Later later) override;
  // Requests whose passwords wait are answered 503. Idempotent.
  void Stop() { passwords_.Stop(); }

 private:
  // Why a request is refused: the label `reason` of access_refused_total.
  enum class Reason : uint8_t { kNoLogin, kWrongLogin, kSlowedDown, kBusy, kRole, kTenant, kRate };
  // What a request asks for.
  struct Question {
    net::Role needed;
    std::vector<std::string> tenants;  // that it names
    std::string peer;
    std::string path;
  };

  static Question QuestionOf(const net::Request& request, net::Role needed);
  Verdict CheckToken(const Rules& rules, std::string_view token, const Question& question);
  std::optional<Verdict> CheckBasic(std::shared_ptr<const Rules> rules, std::string_view encoded, Question question,
                                    Later later);
  Verdict Decide(const Principal& principal, const Question& question);
  Verdict FailLogin(const Rules& rules, std::string_view who, const Question& question);
  Verdict AskForLogin(const Rules& rules);
  Verdict Refuse(Reason reason, net::Response response);
  Verdict TryLater(Reason reason, std::string_view why, std::chrono::seconds after);
  static std::string_view ToString(Reason reason);

  telemetry::Logger& log_;
  telemetry::Metrics& metrics_;
  Live<Rules> rules_{Rules()};
  RateLimit rate_;
  LoginThrottle throttle_;
  PasswordChecker passwords_;  // last: its thread uses the others
};

}  // namespace mi::access
