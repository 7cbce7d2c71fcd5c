#include "catalog/read_ahead.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/format.h"
#include "model/identity.h"
#include "model/tenant.h"

namespace mi::catalog {
namespace {

using Visit = std::function<bool(const store::StoredSeries&)>;

// Some values have escapes, so that the parser makes texts of its own; some rows are longer than a portion.
model::Labels SeriesOf(uint64_t id) {
  const std::string value = id % 7 == 0 ? format("line\n\"{}\"", id) : format("{}", id);
  const std::string text(id % 10'000 == 9'999 ? 3 << 20 : id % 50, 'x');
  std::vector<model::Label> labels = {{"__name__", "m"}, {"a", value}};
  if (!text.empty()) labels.push_back({"b", text});
  return model::Labels::FromUnsorted(labels).value();
}

std::string ContentOf(uint64_t id) { return model::FormatIdentity(SeriesOf(id).view()); }

TEST(ReadAhead, AddsEveryRowInOrder) {
  constexpr uint64_t kRows = 30'000;
  model::IdentityFingerprinter verify("secret");
  uint64_t next = 1;
  const Status done = ReadAhead(
      [&](const Visit& visit) -> Status {
        for (uint64_t id = 1; id <= kRows; ++id) {
          const std::string tenant = format("t{}", id / 1000);  // the reader's texts are gone after the visit
          std::string content = ContentOf(id);
          model::Fingerprint fingerprint = verify(tenant, content).value();
          if (id % 1000 == 1) fingerprint.lo ^= 1;
          if (id % 1000 == 2) content += '}';
          EXPECT_TRUE(visit({id, tenant, content, fingerprint, static_cast<int64_t>(id), 2}));
        }
        return {};
      },
      &verify,
      [&](const DecodedSeries& series) {
        const uint64_t id = next++;
        EXPECT_EQ(series.stored.id, id);
        EXPECT_EQ(series.stored.tenant, format("t{}", id / 1000));
        EXPECT_EQ(series.stored.first_seen_ms, id);
        EXPECT_EQ(series.damage.empty(), id % 1000 != 1 && id % 1000 != 2) << series.damage;
        if (id % 1000 == 1) EXPECT_EQ(series.of_its_content->lo, series.stored.fingerprint.lo ^ 1);
        if (series.damage.empty()) EXPECT_TRUE(std::ranges::equal(series.labels, SeriesOf(id).view())) << id;
        return true;
      });
  EXPECT_TRUE(done);
  EXPECT_EQ(next, kRows + 1);
}

TEST(ReadAhead, EndsTheReadingSoonAfterAddReturnedFalse) {
  auto f = [](uint64_t last) {
    uint64_t read = 0;
    uint64_t added = 0;
    const Status done = ReadAhead(
        [&](const Visit& visit) -> Status {
          while (visit({++read, "", "m{}", {}, 1, 1}) && read < 10'000'000) {
          }
          return {};
        },
        nullptr, [&](const DecodedSeries&) { return ++added < last; });
    EXPECT_TRUE(done);
    EXPECT_EQ(added, last);
    EXPECT_LT(read, last + 100'000);
  };
  f(1), f(2048), f(2049), f(50'000);
}

TEST(ReadAhead, ReturnsTheReadersErrorAfterEverythingWasAdded) {
  auto f = [](uint64_t rows) {
    uint64_t added = 0;
    const Status done = ReadAhead(
        [&](const Visit& visit) -> Status {
          for (uint64_t id = 1; id <= rows; ++id) visit({id, "", "m{}", {}, 1, 1});
          return Fail(Errc::kUnavailable, "gone");
        },
        nullptr, [&](const DecodedSeries&) { return ++added > 0; });
    EXPECT_EQ(done.error(), Error(Errc::kUnavailable, "gone"));
    EXPECT_EQ(added, rows);
  };
  f(0), f(1), f(2048), f(20'000);
}

}  // namespace
}  // namespace mi::catalog
