// The word somebody probably meant.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mi::config {

// How many letters are missing, too many, other or swapped between the two.
size_t EditDistance(std::string_view a, std::string_view b);

// The known key that `path`, which is none, was probably meant to be: one at the same place that reads like it, else
// one that reads like the whole, else one of the same name elsewhere.
std::optional<std::string> NearestKey(std::string_view path);

// " (did you mean 'log.level'?)", or ''.
std::string DidYouMean(const std::optional<std::string>& meant);

}  // namespace mi::config
