// HTTP requests: the same requests must be found, however the bytes are cut into segments.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/ascii.h"
#include "net/request_parser.h"

namespace {

using mi::net::RequestParser;
using Outcome = RequestParser::Outcome;

void Check(bool holds) {
  if (!holds) std::abort();
}

// An accepted head has one meaning for every reader: lines end with CRLF only, none is folded, at most one host.
void CheckHead(std::string_view text, const mi::net::Request& head) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') Check(i + 1 < text.size() && text[i + 1] == '\n');
    if (text[i] != '\n') continue;
    Check(i > 0 && text[i - 1] == '\r');
    Check(i + 1 == text.size() || (text[i + 1] != ' ' && text[i + 1] != '\t'));
  }
  int hosts = 0;
  int lengths = 0;
  int codings = 0;
  head.ForEachHeader([&](std::string_view name, std::string_view) {
    hosts += mi::EqualsIgnoringCase(name, "host");
    lengths += mi::EqualsIgnoringCase(name, "content-length");
    codings += mi::EqualsIgnoringCase(name, "transfer-encoding");
  });
  Check(hosts == 1 || (hosts == 0 && head.framing().is_http10));
  Check(codings <= 1 && (codings == 0 || lengths == 0));
  Check(!head.framing().is_http10 || codings == 0);
  Check(head.path().starts_with('/') || head.path() == "*");
}

void Record(const mi::net::Request& head, std::string& found) {
  found.append(head.method()).append(" ").append(head.path()).append("?").append(head.query());
  head.ForEachHeader([&](std::string_view name, std::string_view value) {
    found.append("|").append(name).append(":").append(value);
    Check(head.Header(name).has_value());
  });
  found += head.framing().chunked ? "|chunked" : "|" + std::to_string(head.content_length().value_or(0));
  found += head.framing().keep_alive ? "|keep" : "|close";
}

// A fault is found earlier or later, depending on the segments. Either way the request must be refused.
constexpr const char* kUnfinished = " unfinished";

// The requests in `bytes` if they arrive in pieces of `step` bytes.
std::string Parse(std::string_view bytes, size_t step) {
  constexpr uint32_t kMaxHeaderBytes = 4096;
  auto parser = std::make_unique<RequestParser>(kMaxHeaderBytes);
  std::string found;
  std::string body;
  bool in_body = false;
  size_t taken = 0;
  size_t begin = 0;  // of the head
  for (size_t known = std::min(step, bytes.size());;) {
    const std::string_view input = bytes.substr(taken, known - taken);
    const RequestParser::Step parsed = in_body ? parser->ParseChunked(input, body) : parser->ParseHead(input);
    Check(parsed.consumed <= input.size());
    taken += parsed.consumed;
    switch (parsed.outcome) {
      case Outcome::kNeedMore:
        if (known == bytes.size()) return found + kUnfinished;
        known = std::min(known + step, bytes.size());
        continue;
      case Outcome::kHead: {
        CheckHead(bytes.substr(begin, taken - begin), parser->request());
        Record(parser->request(), found);
        in_body = parser->request().framing().chunked;
        if (in_body) continue;
        const uint64_t length = parser->request().content_length().value_or(0);
        if (length > bytes.size() - taken) return found + kUnfinished;
        taken += length;
        known = std::max(known, taken);
        break;
      }
      case Outcome::kDone: found.append(body).append(" done"); break;
      case Outcome::kBad:
      case Outcome::kHeaderTooLarge: return found + kUnfinished;
      case Outcome::kNotImplemented: return found + " coding";
    }
    found.append("\n");
    body.clear();
    in_body = false;
    begin = taken;
    parser = std::make_unique<RequestParser>(kMaxHeaderBytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  if (size < 2 || size > 4000) return 0;  // with pieces, the limit of a header would be reached at different moments
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t step = 1 + data[0] % 16U;
  Check(Parse(bytes, bytes.size()) == Parse(bytes, step));
  return 0;
}
