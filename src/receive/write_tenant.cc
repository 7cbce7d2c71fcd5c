#include "receive/write_tenant.h"

#include <optional>

#include "base/format.h"

namespace mi::receive {
namespace {

constexpr std::string_view kInsert = "/insert/";

}  // namespace

Result<model::Tenant> TenantOf(const net::Request& request) {
  const auto in_path = net::SegmentBehind(kInsert, request.path());
  const auto in_header = request.Header("x-scope-orgid");
  if (!in_header || in_header->empty()) return model::Tenant::Parse(in_path.value_or(""));
  Result<model::Tenant> from_header = model::Tenant::Parse(*in_header);
  if (!in_path || !from_header) return from_header;
  Result<model::Tenant> from_path = model::Tenant::Parse(*in_path);
  if (from_path && *from_path != *from_header) {
    return Fail(Errc::kInvalid,
                format("the path says tenant \"{}\", the header X-Scope-OrgID says \"{}\"", *in_path, *in_header));
  }
  return from_path;
}

}  // namespace mi::receive
