// The head of an answer, as it goes over the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mi::net {

std::string_view ReasonPhrase(int status);

enum class Persistence { kKeepAlive, kClose };

// What the head depends on besides the answer.
struct AnswerForm {
  bool http10 = false;
  Persistence persistence = Persistence::kKeepAlive;
  std::string_view date;  // IMF-fixdate
};

// Whether answers of this status carry a body at all (RFC 9110: 1xx, 204 and 304 do not).
bool HasBody(int status);

// Appends the status line, the headers and the empty line. Line breaks in header values become blanks.
void AppendResponseHead(const Response& response, const AnswerForm& form, std::string& out);

}  // namespace mi::net
