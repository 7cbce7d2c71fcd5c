#include "receive/negotiation.h"

#include <optional>

#include "base/ascii.h"
#include "base/format.h"

namespace mi::receive {
namespace {

constexpr std::string_view kProtoV1 = "prometheus.WriteRequest";
constexpr std::string_view kProtoV2 = "io.prometheus.write.v2.Request";

std::string_view Unquote(std::string_view value) {
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  return quoted ? value.substr(1, value.size() - 2) : value;
}

// Removes the text before the first ';' from the front of `rest`. A ';' in quotes is part of a value (RFC 9110, 5.6.6).
std::string_view NextPart(std::string_view& rest) {
  bool quoted = false;
  size_t end = 0;
  for (; end < rest.size() && (quoted || rest[end] != ';'); ++end) {
    if (rest[end] == '"') quoted = !quoted;
    if (rest[end] == '\\' && quoted) ++end;
  }
  const std::string_view part = TrimSpace(rest.substr(0, end));
  rest = end >= rest.size() ? std::string_view() : rest.substr(end + 1);
  return part;
}

Result<codec::Schema> SchemaOf(std::string_view content_type) {
  const auto refuse = [&] {
    return Fail(Errc::kInvalid,
                format("Content-Type \"{}\" is not supported; send application/x-protobuf, with proto={} or "
                       "proto={}",
                       content_type, kProtoV1, kProtoV2));
  };
  std::string_view rest = content_type;
  if (!EqualsIgnoringCase(NextPart(rest), "application/x-protobuf")) return refuse();
  codec::Schema schema = codec::Schema::kV1;
  while (!rest.empty()) {
    const std::string_view parameter = NextPart(rest);
    const size_t equals = parameter.find('=');
    if (equals == std::string_view::npos || !EqualsIgnoringCase(TrimSpace(parameter.substr(0, equals)), "proto"))
      continue;
    const std::string_view proto = Unquote(TrimSpace(parameter.substr(equals + 1)));
    if (proto == kProtoV2) {
      schema = codec::Schema::kV2;
    } else if (proto == kProtoV1) {
      schema = codec::Schema::kV1;
    } else {
      return refuse();
    }
  }
  return schema;
}

Result<codec::Compression> CompressionOf(std::string_view encoding) {
  if (EqualsIgnoringCase(encoding, "snappy")) return codec::Compression::kSnappy;
  if (EqualsIgnoringCase(encoding, "zstd")) return codec::Compression::kZstd;
  return Fail(Errc::kInvalid,
              format("Content-Encoding \"{}\" is not supported; send snappy (block format) or zstd", encoding));
}

std::string_view ToString(codec::Schema schema) {
  switch (schema) {
    case codec::Schema::kV1: return "1.0";
    case codec::Schema::kV2: return "2.0";
  }
  return "?";
}

// The tenant of a request that names none.
Result<model::Tenant> TenantOf(const net::Caller* caller) {
  if (caller == nullptr || caller->MayUse("")) return model::Tenant();
  if (caller->tenants.size() == 1) return model::Tenant::Parse(caller->tenants.front());
  return Fail(Errc::kInvalid,
              format("{} has grants for {} tenants: say which in X-Scope-OrgID", caller->name, caller->tenants.size()));
}

}  // namespace

Status Negotiate(const net::Request& request, Form& form) {
  form = {};
  const std::string_view type = TrimSpace(request.Header("content-type").value_or(""));
  if (!type.empty()) form.schema = TRY(SchemaOf(type));
  form.protocol = ToString(form.schema);
  const std::string_view encoding = TrimSpace(request.Header("content-encoding").value_or(""));
  if (!encoding.empty()) form.compression = TRY(CompressionOf(encoding));
  form.encoding = ToString(form.compression);
  return {};
}

Result<model::Tenant> TenantOf(const net::Request& request) {
  const auto in_path = net::SegmentBehind("/insert/", request.path());
  const auto in_header = request.Header("x-scope-orgid");
  if (!in_header || in_header->empty()) return in_path ? model::Tenant::Parse(*in_path) : TenantOf(request.caller());
  model::Tenant from_header = TRY(model::Tenant::Parse(*in_header));
  if (!in_path) return from_header;
  model::Tenant from_path = TRY(model::Tenant::Parse(*in_path));
  if (from_path != from_header) {
    return Fail(Errc::kInvalid,
                format("the path says tenant \"{}\", the header X-Scope-OrgID says \"{}\"", *in_path, *in_header));
  }
  return from_path;
}

}  // namespace mi::receive
