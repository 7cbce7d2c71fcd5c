// The catalogue's fast reading of identity strings against the plain parser: what the scan accepts, both read the same.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "catalog/identity_scan.h"
#include "model/identity.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<mi::model::Label> labels;
  if (!mi::catalog::ScanIdentity(text, labels)) return 0;
  const auto parsed = mi::model::ParseIdentity(text);
  const auto scanned = mi::model::Labels::FromUnsorted(labels);
  if (!parsed || !scanned || *parsed != *scanned) std::abort();
  return 0;
}
