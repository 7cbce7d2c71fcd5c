// The head of an answer, as it goes over the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mi::net {

std::string_view ReasonPhrase(int status);

enum class Persistence { kKeepAlive, kClose };

// What the answers of a server have in common.
struct CommonHeaders {
  std::string_view date;   // IMF-fixdate
  std::string_view added;  // further headers, as AppendHeader writes them
};

// What the head depends on besides the answer.
struct AnswerForm {
  bool http10 = false;
  Persistence persistence = Persistence::kKeepAlive;
  CommonHeaders common;
};

// Line breaks in the value become blanks.
void AppendHeader(std::string_view name, std::string_view value, std::string& out);

// Whether answers of this status carry a body at all (RFC 9110: 1xx, 204 and 304 do not).
bool HasBody(int status);

// Appends the status line, the headers and the empty line. An answer with a body says that browsers must neither guess
// its type nor name its URL to other sites.
void AppendResponseHead(const Response& response, const AnswerForm& form, std::string& out);

}  // namespace mi::net
