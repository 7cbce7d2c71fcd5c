#include "config/nearest.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/format.h"
#include "config/rows.h"

namespace mi::config {
namespace {

constexpr size_t kLongestWord = 80;  // longer words are no misspelling of an option
constexpr size_t kNever = SIZE_MAX;

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

// The word at the smallest distance, if that is at most `tolerance`.
template <typename Distance>
std::optional<std::string> Nearest(const std::vector<std::string>& words, Distance distance, size_t tolerance) {
  std::optional<std::string> nearest;
  size_t best = tolerance + 1;
  for (const auto& word : words) {
    const size_t far = distance(word);
    if (far < best) {
      best = far;
      nearest = word;
    }
  }
  return nearest;
}

}  // namespace

// The table of Damerau and Levenshtein (optimal string alignment), of which only the last three rows are kept:
// row[j] is the distance between the first i letters of `a` and the first j letters of `b`. O(|a| * |b|).
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

// Three attempts, from the most to the least probable mistake: a misspelled word in the right section, a path that is
// close as a whole, and the right word in another section. The tolerance grows with the word. It compares with every
// known key, which is slow, but happens only for a fault.
std::optional<std::string> NearestKey(std::string_view spelled) {
  if (spelled.size() > kLongestWord) return std::nullopt;
  std::string path(spelled);  // without "[0]": known keys have no elements
  const size_t open = path.find('[');
  const size_t close = path.find(']');
  if (open < close && close != std::string::npos) path.erase(open, close + 1 - open);
  static const auto known = KnownKeys();
  const std::string_view word = LastWord(path);
  const size_t tolerance = std::max<size_t>(1, word.size() / 3);
  auto nearest = Nearest(
      known,
      [&](std::string_view key) {
        return ParentOf(key) == ParentOf(path) ? EditDistance(word, LastWord(key)) : kNever;
      },
      tolerance);
  if (!nearest) nearest = Nearest(known, [&](std::string_view key) { return EditDistance(path, key); }, tolerance);
  if (!nearest) nearest = Nearest(known, [&](std::string_view key) { return LastWord(key) == word ? 0 : kNever; }, 0);
  return nearest;
}

std::string DidYouMeanKey(std::string_view path) {
  const auto meant = NearestKey(path);
  return meant ? mi::format(" (did you mean '{}'?)", *meant) : "";
}

std::string DidYouMeanVariable(std::string_view name) {
  constexpr size_t kTolerance = 3;
  if (name.size() > kVariablePrefix.size() + kLongestWord) return "";
  std::vector<std::string> known;
  for (const Row& row : Rows()) known.push_back(EnvironmentName(row.path));
  const auto meant = Nearest(known, [&](std::string_view word) { return EditDistance(name, word); }, kTolerance);
  return meant ? mi::format(" (did you mean {}?)", *meant) : "";
}

}  // namespace mi::config
