#include "query/metadata.h"

#include <set>
#include <tuple>
#include <utility>

namespace mi::query {
namespace {

// The different entries of one family, in the order in which they came. Senders choose how many there are: each is
// found by comparing it with a few.
class Entries {
 public:
  Entries() = default;
  Entries(const Entries&) = delete;
  Entries& operator=(const Entries&) = delete;

  // False when it would be one more than the limit.
  bool Add(const model::MetricMetadata& metadata, std::optional<size_t> limit) {
    list_.push_back(metadata);
    const auto [at, fresh] = by_content_.insert(list_.size() - 1);
    const bool fits = !fresh || !limit || list_.size() <= *limit;
    if (fresh && !fits) by_content_.erase(at);
    if (!fresh || !fits) list_.pop_back();
    return fits;
  }
  std::vector<model::MetricMetadata> Take() { return std::move(list_); }

 private:
  struct Less {
    const std::vector<model::MetricMetadata>* list;
    bool operator()(size_t a, size_t b) const {
      const auto content = [](const model::MetricMetadata& of) { return std::tie(of.type, of.help, of.unit); };
      return content((*list)[a]) < content((*list)[b]);
    }
  };
  std::vector<model::MetricMetadata> list_;
  std::set<size_t, Less> by_content_{Less{&list_}};  // indices
};

}  // namespace

FoundMetadata Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question) {
  std::map<std::string, Entries, std::less<>> found;
  FoundMetadata answer;
  snapshot.ForEachMetadata(question.tenants, [&](const store::StoredMetadata& stored) {
    const model::MetricMetadata& metadata = stored.metadata;
    if (!question.family.empty() && metadata.family != question.family) return true;
    if (!found[metadata.family].Add(metadata, question.limit_per_family)) answer.cut = true;
    return true;
  });
  for (auto& [family, entries] : found) {
    // By name, so that the same ones are left out each time.
    if (question.limit && answer.families.size() == *question.limit) {
      answer.cut = true;
      break;
    }
    answer.families.emplace(family, entries.Take());
  }
  return answer;
}

}  // namespace mi::query
