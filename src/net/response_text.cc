#include "net/response_text.h"

#include "base/format.h"

namespace mi::net {

void AppendHeader(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ");
  for (const char c : value) out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  out.append("\r\n");
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Unknown";
  }
}

bool HasBody(int status) { return status >= 200 && status != 204 && status != 304; }

void AppendResponseHead(const Response& response, const AnswerForm& form, std::string& out) {
  AppendFormat(out, "HTTP/1.1 {} {}\r\n", response.status, ReasonPhrase(response.status));
  AppendHeader("Date", form.common.date, out);
  out.append(form.common.added);
  for (const auto& [name, value] : response.headers) AppendHeader(name, value, out);
  if (HasBody(response.status)) {
    out.append("X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n");
    if (!response.content_type.empty()) AppendHeader("Content-Type", response.content_type, out);
    if (!response.next_chunk) {
      AppendFormat(out, "Content-Length: {}\r\n", response.body.size());
    } else if (!form.http10) {
      AppendHeader("Transfer-Encoding", "chunked", out);
    }
  }
  if (form.persistence == Persistence::kClose) {
    AppendHeader("Connection", "close", out);
  } else if (form.http10) {
    AppendHeader("Connection", "keep-alive", out);
  }
  out.append("\r\n");
}

}  // namespace mi::net
