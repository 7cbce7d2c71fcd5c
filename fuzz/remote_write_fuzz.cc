// Remote write, in the version that MI_FUZZ_SCHEMA names: the fast path and the plain path must agree on what is
// refused, on identities, keys and counts. One fast path reads half of the input, then all of it, so that state which
// is kept between requests would be noticed.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "codec/testing/plain_remote_write.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view request(reinterpret_cast<const char*>(data), size);
  const mi::codec::SeriesLimits tight{.max_series_bytes = 60,
                                      .max_labels = 4,
                                      .max_name_bytes = 9,
                                      .max_value_bytes = 12,
                                      .require_metric_name = false};
  mi::codec::FastPath path;
  for (const mi::codec::SeriesLimits& limits : {mi::codec::SeriesLimits(), tight}) {
    for (const std::string_view part : {request.substr(0, size / 2), request}) {
      const std::string disagreement = FirstDisagreement(mi::codec::Schema::MI_FUZZ_SCHEMA, part, limits, path);
      if (disagreement.empty()) continue;
      std::fprintf(stderr, "%s\n", disagreement.c_str());
      std::abort();
    }
  }
  return 0;
}
