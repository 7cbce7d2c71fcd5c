#include "config/nearest.h"

#include <algorithm>
#include <set>

#include "base/format.h"
#include "config/rows.h"

namespace mi::config {
namespace {

constexpr size_t kLongestWord = 80;  // longer ones are no misspelling of ours

// Options and the sections above them.
std::vector<std::string> KnownKeys() {
  std::set<std::string> known;
  for (const Row& row : Rows()) {
    std::string path(row.path);
    std::erase_if(path, [](char c) { return c == '[' || c == ']'; });
    for (std::string_view key = path; !key.empty(); key = ParentOf(key)) known.emplace(key);
  }
  return {known.begin(), known.end()};
}

size_t Tolerance(std::string_view word) { return std::max<size_t>(1, word.size() / 3); }

template <typename Wanted>
std::optional<std::string> Nearest(const std::vector<std::string>& known, Wanted distance, size_t tolerance) {
  std::optional<std::string> nearest;
  size_t best = tolerance + 1;
  for (const auto& key : known) {
    const size_t far = distance(key);
    if (far < best) {
      best = far;
      nearest = key;
    }
  }
  return nearest;
}

}  // namespace

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t other = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({other, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::optional<std::string> NearestKey(std::string_view spelled) {
  if (spelled.size() > kLongestWord) return std::nullopt;
  std::string path(spelled);  // without the [0] that a list's elements have elsewhere
  const size_t open = path.find('[');
  const size_t close = path.find(']');
  if (open < close && close != std::string::npos) path.erase(open, close + 1 - open);
  static const auto known = KnownKeys();
  const std::string_view word = LastWord(path);
  constexpr size_t kNever = SIZE_MAX;
  auto nearest = Nearest(
      known,
      [&](std::string_view key) {
        return ParentOf(key) == ParentOf(path) ? EditDistance(word, LastWord(key)) : kNever;
      },
      Tolerance(word));
  if (!nearest) {
    nearest = Nearest(known, [&](std::string_view key) { return EditDistance(path, key); }, Tolerance(word));
  }
  if (!nearest) {
    nearest = Nearest(known, [&](std::string_view key) { return LastWord(key) == word ? 0 : kNever; }, 0);
  }
  return nearest;
}

std::string DidYouMean(const std::optional<std::string>& meant) {
  return meant ? mi::format(" (did you mean '{}'?)", *meant) : std::string();
}

}  // namespace mi::config
