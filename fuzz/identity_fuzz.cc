// Identity texts both ways: the reader agrees with the plain parser; what parses is written and read back without loss;
// any labels survive the round trip.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "model/identity.h"
#include "model/testing/plain_identity.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void ReadBack(const mi::model::Labels& labels) {
  const std::string text = mi::model::FormatIdentity(labels.view());
  const auto again = mi::model::ParseIdentity(text);
  Check(again.has_value() && *again == labels);
  Check(mi::model::ReadersAgree(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Check(mi::model::ReadersAgree(text));
  if (const auto labels = mi::model::ParseIdentity(text)) {
    Check(mi::model::IsCanonical(labels->canonical()));
    ReadBack(*labels);
  }
  std::vector<mi::model::Label> pieces;
  for (size_t at = 0; at + 1 < text.size();) {
    const auto length = static_cast<unsigned char>(text[at]) % 16U;
    pieces.push_back(
        {text.substr(at + 1, length / 2), text.substr(std::min(text.size(), at + 1 + length / 2), length)});
    at += 1 + length;
  }
  if (const auto labels = mi::model::Labels::FromUnsorted(pieces)) ReadBack(*labels);
  mi::model::LabelsView(text).CountLabels();
  return 0;
}
