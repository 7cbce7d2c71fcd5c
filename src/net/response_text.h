// What goes over the wire in front of an answer's body.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mi::net {

std::string_view ReasonPhrase(int status);

enum class Persistence { kKeepAlive, kClose };

// What the request says about the form of its answer.
struct AnswerForm {
  bool http10 = false;
  bool head_only = false;  // a HEAD request: all of the head, nothing of the body
  Persistence persistence = Persistence::kKeepAlive;
  std::string_view date;  // IMF-fixdate
};

// Whether answers of this status carry a body at all (RFC 9110: 1xx, 204 and 304 do not).
bool HasBody(int status);

// Appends status line and headers, with the empty line behind them. Line breaks inside of header values become blanks.
void AppendResponseHead(const Response& response, const AnswerForm& form, std::string& out);

}  // namespace mi::net
