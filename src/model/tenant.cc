#include "model/tenant.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/format.h"

namespace mi::model {
namespace {

constexpr size_t kMaxTenantBytes = 150;

bool IsTenantChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!._*'()-").contains(c);
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.size() <= 10 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// VictoriaMetrics' accountID[:projectID] in its shortest form; nothing when `text` is not of that shape.
std::optional<std::string> FoldAccount(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view account = text.substr(0, colon);
  const std::string_view project = colon == std::string_view::npos ? "0" : text.substr(colon + 1);
  if (!IsDigits(account) || !IsDigits(project)) return std::nullopt;
  const auto account_id = std::stoull(std::string(account));
  const auto project_id = std::stoull(std::string(project));
  if (std::max(account_id, project_id) > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  if (project_id != 0) return format("{}:{}", account_id, project_id);
  return account_id == 0 ? std::string() : format("{}", account_id);
}

}  // namespace

Result<Tenant> Tenant::Parse(std::string_view text) {
  if (text.empty()) return Tenant();
  if (std::optional<std::string> account = FoldAccount(text)) return Tenant(*std::move(account));
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
