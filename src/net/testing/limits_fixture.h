// A server with handlers that have limits of their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "net/testing/server_fixture.h"

namespace mi::net {

class LimitsTest : public ServerTest {
 protected:
  // /refuse answers 415 at the head; /small takes 100 bytes.
  void SetUp() override {
    Serve(
        "/refuse", [](const Request&, Reply) { ADD_FAILURE() << "was handled"; },
        [](const Request& request) {
          EXPECT_TRUE(request.body().empty());
          return HeadDecision{.answer = Response{.status = 415, .body = "not that\n"}};
        });
    Serve(
        "/small", [](const Request& request, Reply reply) { reply({.body = std::string(request.body())}); },
        [](const Request&) {
          return HeadDecision{.max_body_bytes = 100, .too_large = [](uint64_t bytes) {
                                return Response{.status = 400, .body = format("{} are too many\n", bytes)};
                              }};
        });
    Serve(
        "/large", [](const Request& request, Reply reply) { reply({.body = std::to_string(request.body().size())}); },
        [](const Request&) { return HeadDecision{.max_body_bytes = 64 << 20}; });
  }
  std::string Announce(std::string_view target, uint64_t bytes, std::string_view headers = "") {
    return format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n", target, bytes, headers);
  }
};

}  // namespace mi::net
