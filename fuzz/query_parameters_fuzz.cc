// Parameters of the query API: any text is either parsed or refused with a message.
#include <cstdlib>
#include <string_view>

#include "model/labels.h"
#include "web/content_coding.h"
#include "web/parameters.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

template <typename T>
void ReadOrRefused(const mi::web::ApiResult<T>& parsed) {
  if (!parsed) Check(!parsed.error().message.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parameters = mi::net::FormParameters::Parse(text);
  ReadOrRefused(mi::web::ReadLimit(parameters));
  ReadOrRefused(mi::web::ReadStep(parameters));
  const auto scope = mi::web::ReadScope(parameters, {});
  ReadOrRefused(scope);
  ReadOrRefused(mi::web::ReadTimeout(parameters));
  ReadOrRefused(mi::web::ReadMetadataLimit(parameters, "limit"));
  mi::web::ParseTime(text);
  mi::web::ChooseCoding(text);
  // A valid name stays valid.
  if (mi::model::IsValidUtf8(text)) Check(mi::model::IsValidUtf8(mi::web::UnescapeName(text)));
  if (const auto tenants = mi::web::ParseTenants(text)) Check(!tenants->empty());
  return 0;
}
