// Suggestions for misspelled keys and environment variables.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace mi::config {

// How many letters must be inserted, deleted, replaced or swapped with their neighbour to turn one word into the other.
size_t EditDistance(std::string_view a, std::string_view b);

// The known key that `path` (an unknown one) was probably meant to be: a similar one in the same section, else one that
// is similar as a whole, else one of the same name in another section.
std::optional<std::string> NearestKey(std::string_view path);

// " (did you mean 'log.level'?)", or '' if no key is similar.
std::string DidYouMeanKey(std::string_view path);
// " (did you mean METRIC_INDEX_APP_PORT?)", or ''.
std::string DidYouMeanVariable(std::string_view name);

}  // namespace mi::config
