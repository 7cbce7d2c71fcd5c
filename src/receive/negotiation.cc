#include "receive/negotiation.h"

#include "base/format.h"

namespace mi::receive {
namespace {

using net::EqualsIgnoringCase;

constexpr std::string_view kProtoV1 = "prometheus.WriteRequest";
constexpr std::string_view kProtoV2 = "io.prometheus.write.v2.Request";

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view Unquote(std::string_view value) {
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  return quoted ? value.substr(1, value.size() - 2) : value;
}

// Cuts the text before the first ';' off the front of `rest`. One in quotes is part of a value (RFC 9110, 5.6.6).
std::string_view NextPart(std::string_view& rest) {
  bool quoted = false;
  size_t end = 0;
  for (; end < rest.size() && (quoted || rest[end] != ';'); ++end) {
    if (rest[end] == '"') quoted = !quoted;
    if (rest[end] == '\\' && quoted) ++end;
  }
  const std::string_view part = Trim(rest.substr(0, end));
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
    if (equals == std::string_view::npos || !EqualsIgnoringCase(Trim(parameter.substr(0, equals)), "proto")) continue;
    const std::string_view proto = Unquote(Trim(parameter.substr(equals + 1)));
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

}  // namespace

Status Negotiate(const net::Request& request, Form& form) {
  form = {};
  if (const auto type = request.Header("content-type"); type && !Trim(*type).empty()) {
    const Result<codec::Schema> schema = SchemaOf(Trim(*type));
    if (!schema) return Fail(schema.error());
    form.schema = *schema;
  }
  form.protocol = ToString(form.schema);
  if (const auto encoding = request.Header("content-encoding"); encoding && !Trim(*encoding).empty()) {
    const Result<codec::Compression> compression = CompressionOf(Trim(*encoding));
    if (!compression) return Fail(compression.error());
    form.compression = *compression;
  }
  form.encoding = ToString(form.compression);
  return {};
}

}  // namespace mi::receive
