#include "net/http.h"

#include <algorithm>

#include "base/ascii.h"

namespace mi::net {
namespace {

std::vector<std::string_view> SplitSegments(std::string_view path) {
  std::vector<std::string_view> segments;
  if (path.starts_with('/')) path.remove_prefix(1);
  for (;;) {
    const size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool IsPlaceholder(std::string_view segment) { return segment.starts_with('{') && segment.ends_with('}'); }

// Whether pattern `a` must be tried before `b`. At the first segment where only one of them has a {name}, the other
// one, which is exact there, goes first. Without such a segment the longer pattern goes first, so that "/a/b/*" is
// tried before its own prefix "/a/*".
bool MoreSpecific(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const bool a_open = IsPlaceholder(a[i]);
    const bool b_open = IsPlaceholder(b[i]);
    if (a_open != b_open) return b_open;
  }
  return a.size() > b.size();
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class Plus { kLiteral, kBlank };

std::string Decode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i] == '+' && plus == Plus::kBlank ? ' ' : text[i]);
    }
  }
  return out;
}

}  // namespace

std::optional<std::string_view> Request::Header(std::string_view name) const {
  std::optional<std::string_view> first;
  std::string* joined = nullptr;
  for (const Field& field : fields_) {
    if (!EqualsIgnoringCase(At(field.name), name)) continue;
    if (!first) {
      first = At(field.value);
      continue;
    }
    if (joined == nullptr) joined = &joined_.emplace_back(*first);
    joined->append(", ").append(At(field.value));
  }
  return joined == nullptr ? first : *joined;
}

Request::Slice Request::Keep(std::string_view text) {
  const Slice slice{static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(text.size())};
  text_.append(text);
  return slice;
}

// Takes the target in origin-form ("/path?query"), or in absolute-form ("http://host/path?query") as proxies send it.
void Request::SetLine(std::string_view method, std::string_view target) {
  method_ = Keep(method);
  if (!target.starts_with('/')) {
    const size_t authority = target.find("://");
    if (authority != std::string_view::npos) {
      const size_t path = target.find_first_of("/?", authority + 3);
      target = path == std::string_view::npos ? "/" : target.substr(path);
    }
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  path_ = Keep(path.empty() ? "/" : path);
  query_ = Keep(question == std::string_view::npos ? "" : target.substr(question + 1));
}

void Request::AddHeader(std::string_view name, std::string_view value) {
  const Slice kept = Keep(name);
  fields_.push_back({kept, Keep(value)});
}

// Keeps routes_ in the order in which Find() must try them: all patterns without "*" first, and the more specific
// before the less specific. So Find() returns the first that matches. It costs one comparison per route; there are a
// few dozen.
void Router::Add(std::string_view pattern, Role role, Handler& handler) {
  Route route{.segments = {}, .any_rest = pattern.ends_with("/*"), .endpoint = {std::string(pattern), role, &handler}};
  if (route.any_rest) pattern.remove_suffix(2);
  if (!route.any_rest || !pattern.empty()) {
    for (const std::string_view segment : SplitSegments(pattern)) route.segments.emplace_back(segment);
  }
  const auto at = std::find_if(routes_.begin(), routes_.end(), [&](const Route& other) {
    if (route.any_rest != other.any_rest) return other.any_rest;
    return MoreSpecific(route.segments, other.segments);
  });
  routes_.insert(at, std::move(route));
}

const Router::Endpoint* Router::Find(std::string_view path) const {
  const std::vector<std::string_view> segments = SplitSegments(path);
  for (const Route& route : routes_) {
    const size_t wanted = route.segments.size();
    if (route.any_rest ? segments.size() <= wanted : segments.size() != wanted) continue;
    const bool matches = std::equal(route.segments.begin(), route.segments.end(), segments.begin(),
                                    [](std::string_view pattern, std::string_view segment) {
                                      return IsPlaceholder(pattern) ? !segment.empty() : pattern == segment;
                                    });
    if (matches) return &route.endpoint;
  }
  return nullptr;
}

std::vector<Router::Endpoint> Router::endpoints() const {
  std::vector<Endpoint> all;
  for (const Route& route : routes_) all.push_back(route.endpoint);
  return all;
}

std::optional<std::string> SegmentBehind(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix)) return std::nullopt;
  path.remove_prefix(prefix.size());
  return DecodePath(path.substr(0, path.find('/')));
}

std::string DecodeForm(std::string_view text) { return Decode(text, Plus::kBlank); }
std::string DecodePath(std::string_view text) { return Decode(text, Plus::kLiteral); }

FormParameters FormParameters::Parse(std::string_view encoded) {
  FormParameters parameters;
  parameters.Append(encoded);
  return parameters;
}

void FormParameters::Append(std::string_view encoded) {
  while (!encoded.empty()) {
    const std::string_view pair = encoded.substr(0, encoded.find('&'));
    encoded.remove_prefix(std::min(pair.size() + 1, encoded.size()));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    pairs_.emplace_back(DecodeForm(pair.substr(0, equals)),
                        equals == std::string_view::npos ? "" : DecodeForm(pair.substr(equals + 1)));
  }
}

std::optional<std::string_view> FormParameters::First(std::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> FormParameters::All(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : pairs_) {
    if (key == name) values.emplace_back(value);
  }
  return values;
}

}  // namespace mi::net
