#include "web/content_coding.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/ascii.h"

namespace mi::web {
namespace {

using codec::ContentCoding;

// Takes the text before `separator` from the front, without blanks around it.
std::string_view TakePart(std::string_view& text, char separator) {
  const std::string_view part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return TrimSpace(part);
}

// The q-value among the parameters of a coding: 1 if there is none, 0 if it is none.
double ReadQuality(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view parameter = TakePart(parameters, ';');
    if (!EqualsIgnoringCase(TakePart(parameter, '='), "q")) continue;
    double quality = 0;
    const auto [end, error] = std::from_chars(parameter.begin(), parameter.end(), quality);
    return error == std::errc() && end == parameter.end() && quality <= 1 ? quality : 0;
  }
  return 1;
}

}  // namespace

ContentCoding ChooseCoding(std::string_view accept) {
  struct Choice {
    std::string_view name;
    ContentCoding coding;
    std::optional<double> quality;
  };
  std::array<Choice, 3> choices = {{{"zstd", ContentCoding::kZstd, {}},
                                    {"gzip", ContentCoding::kGzip, {}},
                                    {"identity", ContentCoding::kIdentity, {}}}};
  std::optional<double> others;
  while (!accept.empty()) {
    std::string_view parameters = TakePart(accept, ',');
    const std::string_view name = TakePart(parameters, ';');
    const double quality = ReadQuality(parameters);
    if (name == "*") others = quality;
    for (Choice& choice : choices) {
      if (EqualsIgnoringCase(name, choice.name)) choice.quality = quality;
    }
  }
  // An answer that is not compressed is acceptable unless it is excluded, and then it is still better than none.
  const Choice* best = &choices.back();
  double highest = 0;
  for (const Choice& choice : choices) {
    const bool is_identity = choice.coding == ContentCoding::kIdentity;
    // Unnamed, it comes after every coding that is named.
    const double quality = choice.quality.value_or(is_identity ? 0 : others.value_or(0));
    if (quality <= highest) continue;
    highest = quality;
    best = &choice;
  }
  return best->coding;
}

void Compress(ContentCoding coding, net::Response& response) {
  response.headers.emplace_back("Vary", "Accept-Encoding");
  if (coding == ContentCoding::kIdentity) return;
  if (!response.next_chunk && response.body.size() < kMinCompressedBytes) return;
  response.headers.emplace_back("Content-Encoding", codec::ToString(coding));
  if (!response.next_chunk) {
    std::string body;
    codec::StreamCompressor(coding).Finish(response.body, body);
    response.body = std::move(body);
    return;
  }
  // Shared, because net::Response can be copied and next_chunk with it.
  response.next_chunk = [compressor = std::make_shared<codec::StreamCompressor>(coding),
                         inner = std::move(response.next_chunk), plain = std::string(),
                         ended = false](std::string& chunk) mutable {
    if (ended) return;
    plain.clear();
    inner(plain);
    ended = plain.empty();
    ended ? compressor->Finish("", chunk) : compressor->Append(plain, chunk);
  };
}

}  // namespace mi::web
