#include "model/tenant.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/ascii.h"
#include "base/format.h"

namespace mi::model {
namespace {

constexpr size_t kMaxTenantBytes = 150;

bool IsTenantChar(char c) { return IsAlnum(c) || std::string_view("!._*'()-").contains(c); }

// A number of at most 32 bits and 10 digits; nothing if `digits` is not one.
std::optional<uint32_t> ParseNumber(std::string_view digits) {
  uint32_t number = 0;
  if (digits.size() > 10) return std::nullopt;
  const char* const end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

// VictoriaMetrics' accountID[:projectID] in its shortest form; nothing if `text` does not have that form.
std::optional<std::string> ShortenAccount(std::string_view text) {
  const size_t colon = text.find(':');
  const auto account = ParseNumber(text.substr(0, colon));
  const auto project = ParseNumber(colon == std::string_view::npos ? "0" : text.substr(colon + 1));
  if (!account || !project) return std::nullopt;
  if (*project != 0) return format("{}:{}", *account, *project);
  return *account == 0 ? std::string() : format("{}", *account);
}

}  // namespace

// Account numbers are tried first: "0:0", "0" and "" must all become the default tenant, and "007" must become "7";
// otherwise one account would have several fingerprints for one series. Only the account form may contain ':'.
Result<Tenant> Tenant::Parse(std::string_view text) {
  if (text.empty()) return Tenant();
  if (std::optional<std::string> account = ShortenAccount(text)) return Tenant(*std::move(account));
  if (text.size() > kMaxTenantBytes) {
    return Fail(Errc::kInvalid, format("tenant has {} bytes, limit {}", text.size(), kMaxTenantBytes));
  }
  if (text == "." || text == ".." || !std::ranges::all_of(text, IsTenantChar)) {
    return Fail(Errc::kInvalid,
                format("tenant \"{}\" is not [a-zA-Z0-9!._*'()-]{{1,150}} or accountID:projectID", text));
  }
  return Tenant(std::string(text));
}

}  // namespace mi::model
