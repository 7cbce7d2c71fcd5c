// METRIC_INDEX_* over the file.
//
// A service called metric-index in Kubernetes puts variables of its own under our prefix into every pod
// (METRIC_INDEX_SERVICE_HOST, METRIC_INDEX_PORT=tcp://10.0.0.7:7001, …). They are left alone: they must neither be
// taken for options nor keep the process from starting.
#include <algorithm>
#include <optional>
#include <vector>

#include "base/format.h"
#include "config/draft.h"
#include "config/nearest.h"
#include "config/quote.h"
#include "config/text_file.h"

namespace mi::config {
namespace {

constexpr std::string_view kPrefix = "METRIC_INDEX_";
constexpr std::string_view kSelector = "METRIC_INDEX_ENV";
constexpr std::string_view kKafkaPrefix = "METRIC_INDEX_LIBRDKAFKA_";
constexpr std::string_view kFileSuffix = "_FILE";
constexpr uint64_t kMaxSecretBytes = 64 * kKiB;

using Environment = std::map<std::string, std::string>;

struct Found {
  Target target;
  bool misspelled = false;
};

bool IsKubernetesService(std::string_view name, std::string_view value) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT")) return true;
  if (name.ends_with("_PORT"))
    return value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
  const size_t port = name.find("_PORT_");
  return port != std::string_view::npos && port + 6 < name.size() && is_digit(name[port + 6]);
}

std::optional<Found> FindOption(std::string_view name) {
  for (const Row& row : Rows()) {
    if (row.path != "librdkafka" && EnvironmentName(row.path) == name) return Found{{.row = &row}, false};
    for (const auto& [right, wrong] : Misspellings()) {
      std::string misspelled(row.path);
      if (misspelled != right && !misspelled.starts_with(std::string(right) + ".")) continue;
      misspelled.replace(right.size() - LastWord(right).size(), LastWord(right).size(), wrong);
      if (EnvironmentName(misspelled) == name) return Found{{.row = &row}, true};
    }
  }
  if (!name.starts_with(kKafkaPrefix) || name.size() == kKafkaPrefix.size()) return std::nullopt;
  Found found{{.row = FindRow("librdkafka")}, false};
  for (const char c : name.substr(kKafkaPrefix.size())) {
    found.target.option += c == '_' ? '.' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return found;
}

// " (did you mean METRIC_INDEX_APP_PORT?)", or ''.
std::string DidYouMeanVariable(std::string_view name) {
  std::string nearest;
  size_t best = 4;
  if (name.size() > 120) return {};
  for (const Row& row : Rows()) {
    const std::string known = EnvironmentName(row.path);
    const size_t far = EditDistance(name, known);
    if (far < best) {
      best = far;
      nearest = known;
    }
  }
  return nearest.empty() ? std::string() : mi::format(" (did you mean {}?)", nearest);
}

void SetFromFile(const Target& target, const std::string& name, const std::string& path, Draft& draft) {
  auto text = ReadSmallFile(path, kMaxSecretBytes);
  if (!text) return draft.AddFault(name, text.error().message());
  if (text->ends_with('\n')) text->pop_back();
  if (text->ends_with('\r')) text->pop_back();
  if (draft.OnlyElement(target, name)) draft.Set(target, *text, name);
}

void ApplyVariable(const Environment& environment, const std::string& name, const std::string& value, bool misspelled,
                   Draft& draft) {
  const bool to_file = name.ends_with(kFileSuffix);
  const std::string stem = to_file ? name.substr(0, name.size() - kFileSuffix.size()) : name;
  auto found = FindOption(stem);
  if (!found) {
    if (!misspelled) draft.AddFault(name, "no such option" + DidYouMeanVariable(stem));
    return;
  }
  if (found->misspelled != misspelled) return;
  if (!to_file) {
    if (draft.OnlyElement(found->target, name)) draft.Set(found->target, value, name);
  } else if (environment.contains(stem)) {
    draft.AddFault(name, mi::format("{} is set too; which of the two is meant?", stem));
  } else {
    SetFromFile(found->target, name, value, draft);
  }
}

}  // namespace

void ApplyEnvironment(const Environment& environment, Draft& draft) {
  for (const bool misspelled : {true, false}) {  // the correct spelling goes over the other
    for (const auto& [name, value] : environment) {
      if (!name.starts_with(kPrefix) || name == kSelector || IsKubernetesService(name, value)) continue;
      ApplyVariable(environment, name, value, misspelled, draft);
    }
  }
}

}  // namespace mi::config
