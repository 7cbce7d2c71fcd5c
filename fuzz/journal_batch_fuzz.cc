// Journal rows: a row that decodes must encode to the same batches again. Random bytes never have a valid checksum, so
// the input is also tried as the content of a row with a valid one.
#include <cstdlib>
#include <cstring>
#include <string>

#include "codec/compression.h"
#include "codec/journal_batch.h"
#include "codec/testing/request_encoder.h"
#include "model/fingerprint.h"

namespace {

using mi::model::SeriesBatch;

void Check(bool holds) {
  if (!holds) std::abort();
}

void Try(std::string_view row) {
  mi::codec::JournalDecoder decoder;
  const auto batches = decoder.Decode(row);
  if (!batches) return;
  std::vector<const SeriesBatch*> pointers;
  for (const SeriesBatch& batch : *batches) pointers.push_back(&batch);
  mi::codec::JournalEncoder encoder;
  const auto again = decoder.Decode(encoder.Encode(pointers).value());
  Check(again.has_value() && again->size() == batches->size());
  for (size_t i = 0; i < batches->size(); ++i) {
    const SeriesBatch& got = (*again)[i];
    const SeriesBatch& want = (*batches)[i];
    Check(got.tenant() == want.tenant() && got.seen_at_ms() == want.seen_at_ms() && got.metadata() == want.metadata());
    Check(got.size() == want.size());
    for (size_t k = 0; k < got.size(); ++k) {
      Check(got[k].fingerprint == want[k].fingerprint && got[k].labels == want[k].labels);
      Check(mi::model::IsCanonical(got[k].labels.canonical()));
    }
  }
}

// A row with the content `inside`. The first byte gives the number of fingerprints.
std::string RowAround(std::string_view inside) {
  const auto series = static_cast<uint32_t>(static_cast<unsigned char>(inside[0]) % 8);
  std::string row(13 + series * 16, '\1');
  std::memcpy(row.data() + 9, &series, sizeof series);
  row += Compress(mi::codec::Compression::kZstd, inside.substr(1));
  const uint64_t sum = mi::model::Fingerprinter("journal row", {})(std::string_view(row).substr(9)).lo;
  std::memcpy(row.data() + 1, &sum, sizeof sum);
  return row;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  if (!bytes.empty()) Try(RowAround(bytes));
  return 0;
}
