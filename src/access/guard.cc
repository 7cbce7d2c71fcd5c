#include "access/guard.h"

#include <utility>

#include "access/base64.h"
#include "base/ascii.h"
#include "base/format.h"
#include "base/quote.h"
#include "model/tenant.h"

namespace mi::access {
namespace {

// Of a user that does not exist: a wrong name takes as long as a wrong password.
const std::string kNobodysHash = "$2y$10$abcdefghijklmnopqrstuu37RkUr9H1EPO4Rc63Ngz60LSVREthYa";

// What follows "Basic " or "Bearer "; nothing if it is another scheme.
std::optional<std::string_view> After(std::string_view scheme, std::string_view authorization) {
  if (!EqualsIgnoringCase(authorization.substr(0, scheme.size()), scheme)) return std::nullopt;
  authorization.remove_prefix(scheme.size());
  if (!authorization.starts_with(' ')) return std::nullopt;
  return TrimSpace(authorization);
}

std::string_view NameOf(net::Role role) {
  switch (role) {
    case net::Role::kAnybody: return "none";
    case net::Role::kWrite: return "write";
    case net::Role::kRead: return "read";
    case net::Role::kAdmin: return "admin";
  }
  return "?";
}

// Adds the tenants of "a|b". What is no tenant is left to the handler, which refuses it by the same rule.
void AddTenants(std::string_view text, std::vector<std::string>& tenants) {
  while (true) {
    const size_t bar = text.find('|');
    if (const auto tenant = model::Tenant::Parse(text.substr(0, bar))) tenants.push_back(tenant->name());
    if (bar == std::string_view::npos) return;
    text.remove_prefix(bar + 1);
  }
}

}  // namespace

Guard::Guard(const Clock& clock, telemetry::Logger& log, telemetry::Metrics& metrics)
    : log_(log), metrics_(metrics), rate_(clock), throttle_(clock) {}

Status Guard::Configure(const AccessOptions& options) {
  Rules rules = TRY(Rules::Create(options));
  rules_.Set(std::move(rules));
  rate_.Configure(options.request_interval, options.request_burst);
  return {};
}

std::optional<Guard::Verdict> Guard::Check(const net::Request& request, net::Role needed, Later later) {
  if (!rate_.TryTake()) {
    return Refuse(Reason::kRate,
                  {.status = 429, .body = "too many requests (rate_limit)\n", .headers = {{"Retry-After", "1"}}});
  }
  std::shared_ptr<const Rules> rules = rules_.Get();
  if (needed == net::Role::kAnybody || !rules->needs_login()) return Verdict(std::shared_ptr<const net::Caller>());
  Question question = QuestionOf(request, needed);
  const std::optional<std::string_view> authorization = request.Header("Authorization");
  if (!authorization) {
    const Principal* const certified = rules->FindCertificate(request.certificate_names());
    return certified != nullptr ? Decide(*certified, question) : AskForLogin(*rules);
  }
  if (const auto token = After("Bearer", *authorization)) return CheckToken(*rules, *token, question);
  if (const auto encoded = After("Basic", *authorization)) {
    return CheckBasic(std::move(rules), *encoded, std::move(question), std::move(later));
  }
  return AskForLogin(*rules);
}

// The tenants of the path and of the header: both must be the caller's, if they differ.
Guard::Question Guard::QuestionOf(const net::Request& request, net::Role needed) {
  Question question{
      .needed = needed, .tenants = {}, .peer = std::string(request.peer()), .path = std::string(request.path())};
  for (const std::string_view prefix : {"/insert/", "/select/"}) {
    if (const auto in_path = net::SegmentBehind(prefix, request.path())) AddTenants(*in_path, question.tenants);
  }
  if (const auto in_header = request.Header("X-Scope-OrgID"); in_header && !in_header->empty()) {
    AddTenants(*in_header, question.tenants);
  }
  return question;
}

Guard::Verdict Guard::CheckToken(const Rules& rules, std::string_view token, const Question& question) {
  const auto wait = throttle_.Wait(question.peer, token);
  if (wait) return TryLater(Reason::kSlowedDown, "too many logins from this address have failed", *wait);
  const Principal* const principal = rules.FindToken(Sha256(token));
  if (principal == nullptr) return FailLogin(rules, "a bearer token", question);
  throttle_.NoteSuccess(question.peer, token);
  return Decide(*principal, question);
}

std::optional<Guard::Verdict> Guard::CheckBasic(std::shared_ptr<const Rules> rules, std::string_view encoded,
                                                Question question, Later later) {
  const std::optional<std::string> login = DecodeBase64(encoded);
  const size_t colon = login ? login->find(':') : std::string::npos;
  if (colon == std::string::npos) return AskForLogin(*rules);
  const auto wait = throttle_.Wait(question.peer, *login);
  if (wait) return TryLater(Reason::kSlowedDown, "too many logins from this address have failed", *wait);
  const User* const user = rules->FindUser(login->substr(0, colon));
  std::string client = question.peer;
  Password password{.user = login->substr(0, colon),
                    .hash = user == nullptr ? kNobodysHash : user->hash,
                    .text = login->substr(colon + 1)};

  auto finish = [this, rules = std::move(rules), user, login = *login, colon,
                 question = std::move(question)](std::optional<bool> is_right) -> Verdict {
    if (!is_right) return TryLater(Reason::kBusy, "the service is stopping", std::chrono::seconds(1));
    // Others of this address may have failed meanwhile: guesses that come at once tell no more than those in a row.
    const auto late = throttle_.Wait(question.peer, login);
    if (late) return TryLater(Reason::kSlowedDown, "too many logins from this address have failed", *late);
    if (user == nullptr || !*is_right) return FailLogin(*rules, "user " + Quoted(login.substr(0, colon)), question);
    throttle_.NoteSuccess(question.peer, login);
    return Decide(user->principal, question);
  };
  if (const std::optional<bool> is_right = passwords_.Remembered(password)) return finish(is_right);
  const bool is_taken = passwords_.TryCheck(std::move(client), std::move(password),
                                            [finish = std::move(finish), later = std::move(later)](
                                                std::optional<bool> is_right) mutable { later(finish(is_right)); });
  if (is_taken) return std::nullopt;
  return TryLater(Reason::kBusy, "too many passwords wait to be checked", std::chrono::seconds(1));
}

Guard::Verdict Guard::Decide(const Principal& principal, const Question& question) {
  const net::Caller& caller = *principal.caller;
  if (!principal.Has(question.needed)) {
    return Refuse(Reason::kRole, {.status = 403,
                                  .body = format("{} has not the role {}, which {} needs\n", caller.name,
                                                 NameOf(question.needed), Printable(question.path))});
  }
  for (const std::string& tenant : question.tenants) {
    if (caller.MayUse(tenant)) continue;
    return Refuse(Reason::kTenant,
                  {.status = 403, .body = format("{} has no grant for tenant \"{}\"\n", caller.name, tenant)});
  }
  return principal.caller;
}

Guard::Verdict Guard::FailLogin(const Rules& rules, std::string_view who, const Question& question) {
  throttle_.NoteFailure(question.peer);
  log_.Warn("login failed: {} from {}, for {}", who, question.peer, Quoted(question.path));
  return Refuse(Reason::kWrongLogin,
                {.status = 401, .body = "wrong login\n", .headers = {{"WWW-Authenticate", rules.challenge()}}});
}

// Not a failure: clients such as browsers try without a login first, and a header without a credential is no guess.
Guard::Verdict Guard::AskForLogin(const Rules& rules) {
  return Refuse(Reason::kNoLogin,
                {.status = 401, .body = "a login is needed\n", .headers = {{"WWW-Authenticate", rules.challenge()}}});
}

Guard::Verdict Guard::Refuse(Reason reason, net::Response response) {
  metrics_
      .GetCounter("access_refused_total", "Requests that were refused before their bodies were read, by reason.",
                  {{"reason", std::string(ToString(reason))}})
      .Add();
  return std::unexpected(std::move(response));
}

// 503, not 429: senders repeat it, and Prometheus may drop what was answered 429.
Guard::Verdict Guard::TryLater(Reason reason, std::string_view why, std::chrono::seconds after) {
  return Refuse(reason, {.status = 503,
                         .body = format("{}; try again\n", why),
                         .headers = {{"Retry-After", std::to_string(after.count())}}});
}

std::string_view Guard::ToString(Reason reason) {
  switch (reason) {
    case Reason::kNoLogin: return "no_login";
    case Reason::kWrongLogin: return "wrong_login";
    case Reason::kSlowedDown: return "slowed_down";
    case Reason::kBusy: return "busy";
    case Reason::kRole: return "role";
    case Reason::kTenant: return "tenant";
    case Reason::kRate: return "rate";
  }
  return "?";
}

}  // namespace mi::access
