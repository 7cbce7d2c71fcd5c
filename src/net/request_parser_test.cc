#include "net/request_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace mi::net {
namespace {

using Outcome = RequestParser::Outcome;

constexpr uint32_t kMaxHeaderBytes = 1000;

// Feeds `first`, and then `piece` at most `times` times, as a connection does: what is not consumed comes again.
Outcome Feed(std::string_view first, std::string_view piece, int times) {
  RequestParser parser(kMaxHeaderBytes);
  std::string input(first);
  for (int i = 0;; ++i) {
    const RequestParser::Step step = parser.ParseHead(input);
    if (step.outcome != Outcome::kNeedMore || i == times) return step.outcome;
    input.erase(0, step.consumed);
    input += piece;
  }
}

TEST(RequestParser, TheLimitHoldsForAHeadThatComesInPieces) {
  const auto f = [](std::string_view first, std::string_view piece, int fits) {
    EXPECT_EQ(Feed(first, piece, fits), Outcome::kNeedMore) << piece;
    EXPECT_EQ(Feed(first, piece, 1000), Outcome::kHeaderTooLarge) << piece;
  };
  f("GET / HTTP/1.1\r\nX", "-A: 1\r\nX", 90);
  f("GET / HTTP/1.1\r\nX", ":\r\nX", 150);  // fields without a value take room as well
  f("GET /" + std::string(900, 'a') + " HTTP/1.1\r\nX", "-A: 1\r\nX", 5);
}

TEST(RequestParser, AHeadWithinTheLimitMayComeInAnyPieces) {
  EXPECT_EQ(Feed("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(900, 'a'), "\r\n", 2), Outcome::kHead);
}

TEST(RequestParser, NothingIsNoProgressWhereverTheHeadStands) {
  RequestParser parser(kMaxHeaderBytes);
  for (const std::string_view line : {"", "GET / HTTP/1.1\r\n"}) {
    EXPECT_EQ(parser.ParseHead(line).consumed, line.size());
    const RequestParser::Step step = parser.ParseHead({});
    EXPECT_EQ(step.outcome, Outcome::kNeedMore) << line;
    EXPECT_EQ(step.consumed, 0) << line;
  }
  EXPECT_EQ(parser.ParseHead("Host: x\r\n\r\n").outcome, Outcome::kHead);
}

TEST(RequestParser, AUrlMustNameAHost) {
  const auto f = [](std::string_view target, Outcome outcome) {
    EXPECT_EQ(Feed("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n", "", 0), outcome) << target;
  };
  for (const auto* target : {"http:///path", "https:///", "http://", "https://", "http://?a=b", "http://:80/path"}) {
    f(target, Outcome::kBad);
  }
  for (const auto* target : {"http://h/path", "https://h", "http://[::1]:80/", "/http://", "/"})
    f(target, Outcome::kHead);
}

}  // namespace
}  // namespace mi::net
