#include "loadgen/verify.h"

#include <simdjson.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <thread>

#include "base/format.h"
#include "model/fingerprint.h"
#include "model/identity.h"

namespace mi::loadgen {
namespace {

using std::chrono::steady_clock;
using Fingerprints = std::vector<model::Fingerprint>;  // ascending, each once: 16 bytes a series, ten million fit

constexpr size_t kShown = 10;
constexpr std::chrono::milliseconds kBetweenTries{200};
constexpr std::chrono::milliseconds kQuestionTimeout{60'000};  // of one question

class Verification {
 public:
  explicit Verification(const VerifyOptions& options)
      : options_(options),
        client_({.connect_timeout = kQuestionTimeout,
                 .timeout = kQuestionTimeout,
                 .max_answer_bytes = std::numeric_limits<uint64_t>::max()}) {}

  // Reads the identities from the file, grouped by metric name.
  Status ReadFile() {
    std::ifstream file(options_.acknowledged_file, std::ios::binary);
    if (!file) return Fail(Errc::kUnavailable, format("cannot read {}", options_.acknowledged_file));
    for (std::string line; std::getline(file, line);) {
      const Result<model::Labels> labels = model::ParseIdentity(line);
      if (!labels) return Fail(labels.error().Within(format("{}: {}", options_.acknowledged_file, line)));
      wanted_[std::string(labels->view().metric_name())].push_back(hash_(labels->canonical()));
    }
    for (auto& [name, fingerprints] : wanted_) {
      SortOnce(fingerprints);
      acknowledged_ += fingerprints.size();
    }
    return {};
  }

  // As /metrics says. False if it says nothing or does not answer: the query that follows shows why.
  bool IndexIsBehind() {
    constexpr std::string_view kLag = "\nmetric_index_index_lag_records ";
    const auto answer = client_.Get(options_.base.origin + "/metrics", {});
    if (!answer || answer->status != 200) return false;
    const size_t at = answer->body.find(kLag);
    return at != std::string::npos && !answer->body.substr(at + kLag.size()).starts_with("0\n");
  }

  // Removes the series that the server has. Returns true when none is left.
  Result<bool> RemoveFound() {
    for (auto name = wanted_.begin(); name != wanted_.end();) {
      TRY(RemoveFoundOfName(name->first, name->second));
      name = name->second.empty() ? wanted_.erase(name) : std::next(name);
    }
    return wanted_.empty();
  }

  Result<Verdict> MakeVerdict() {
    Verdict verdict{.acknowledged = acknowledged_};
    for (const auto& [name, missing] : wanted_) verdict.missing += missing.size();
    std::ifstream file(options_.acknowledged_file, std::ios::binary);
    for (std::string line; verdict.missing > 0 && verdict.first_missing.size() < kShown && std::getline(file, line);) {
      const Result<model::Labels> labels = model::ParseIdentity(line);
      if (!labels) return Fail(labels.error());
      const auto name = wanted_.find(std::string(labels->view().metric_name()));
      if (name != wanted_.end() && std::ranges::binary_search(name->second, hash_(labels->canonical()))) {
        verdict.first_missing.push_back(line);
      }
    }
    return verdict;
  }

 private:
  Status RemoveFoundOfName(const std::string& name, Fingerprints& missing) {
    const std::string path = options_.base.target == "/" ? "" : options_.base.target;
    const std::string form = format("match[]={}", Escape(format("{{__name__=\"{}\"}}", name)));
    net::Headers headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    if (!options_.tenant.empty()) headers.emplace_back("X-Scope-OrgID", options_.tenant);
    const auto answer = client_.Post(options_.base.origin + path + "/api/v1/series", headers, form);
    if (!answer) return Fail(answer.error());
    if (answer->status == 503) return {};  // it is still loading; asked again until the patience ends
    if (answer->status != 200) {
      return Fail(Errc::kInvalid,
                  format("/api/v1/series answered {}: {}", answer->status, answer->body.substr(0, 200)));
    }
    return RemoveAnswered(answer->body, missing);
  }

  Status RemoveAnswered(const std::string& body, Fingerprints& missing) {
    simdjson::dom::element document;
    simdjson::dom::array data;
    const simdjson::padded_string padded(body);
    if (parser_.parse(padded).get(document) != simdjson::SUCCESS || document["data"].get(data) != simdjson::SUCCESS) {
      return Fail(Errc::kInvalid, "/api/v1/series did not answer with JSON data");
    }
    Fingerprints found;
    std::vector<model::Label> labels;
    for (const simdjson::dom::object series : data) {
      labels.clear();
      for (const auto [name, value] : series) labels.push_back({name, value.get_string().value()});
      const Result<model::Labels> canonical = model::Labels::FromUnsorted(labels);
      if (!canonical) return Fail(canonical.error());
      found.push_back(hash_(canonical->canonical()));
    }
    SortOnce(found);
    std::erase_if(missing, [at = found.begin(), end = found.end()](const model::Fingerprint& one) mutable {
      at = std::lower_bound(at, end, one);
      return at != end && *at == one;
    });
    return {};
  }

  static void SortOnce(Fingerprints& fingerprints) {
    std::ranges::sort(fingerprints);
    fingerprints.erase(std::ranges::unique(fingerprints).begin(), fingerprints.end());
  }

  static std::string Escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
      out += plain ? std::string(1, c) : format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
  }

  const VerifyOptions& options_;
  net::Client client_;
  const model::Fingerprinter hash_{"", model::Tenant()};
  simdjson::dom::parser parser_;
  std::map<std::string, Fingerprints> wanted_;
  uint64_t acknowledged_ = 0;
};

}  // namespace

Result<Verdict> Verify(const VerifyOptions& options) {
  Verification verification(options);
  TRY(verification.ReadFile());
  const auto deadline = steady_clock::now() + options.patience;
  while (verification.IndexIsBehind() && steady_clock::now() < deadline) std::this_thread::sleep_for(kBetweenTries);
  for (;;) {
    const Result<bool> complete = verification.RemoveFound();
    if (!complete && steady_clock::now() >= deadline) return Fail(complete.error());
    if (complete.value_or(false) || steady_clock::now() >= deadline) return verification.MakeVerdict();
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace mi::loadgen
