#include "net/request_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace mi::net {
namespace {

using Outcome = RequestParser::Outcome;

constexpr uint32_t kMaxHeaderBytes = 1000;

// Feeds `first`, and then `piece` at most `times` times, as a connection does: what is not consumed comes again.
Outcome Feed(RequestParser& parser, std::string_view first, std::string_view piece, int times) {
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
    RequestParser parser;
    parser.Reset(kMaxHeaderBytes);
    EXPECT_EQ(Feed(parser, first, piece, fits), Outcome::kNeedMore) << piece;
    parser.Reset(kMaxHeaderBytes);
    EXPECT_EQ(Feed(parser, first, piece, 1000), Outcome::kHeaderTooLarge) << piece;
  };
  f("GET / HTTP/1.1\r\nX", "-A: 1\r\nX", 90);
  f("GET / HTTP/1.1\r\nX", ":\r\nX", 150);  // fields without a value take room as well
  f("GET /" + std::string(900, 'a') + " HTTP/1.1\r\nX", "-A: 1\r\nX", 5);
}

TEST(RequestParser, AHeadWithinTheLimitMayComeInAnyPieces) {
  RequestParser parser;
  for (int i = 0; i < 3; ++i) {  // the limit is each request's own
    parser.Reset(kMaxHeaderBytes);
    EXPECT_EQ(Feed(parser, "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(900, 'a'), "\r\n", 2), Outcome::kHead);
  }
}

TEST(RequestParser, NothingIsNoProgressWhereverTheHeadStands) {
  RequestParser parser;
  parser.Reset(kMaxHeaderBytes);
  for (const std::string_view line : {"", "GET / HTTP/1.1\r\n"}) {
    EXPECT_EQ(parser.ParseHead(line).consumed, line.size());
    const RequestParser::Step step = parser.ParseHead({});
    EXPECT_EQ(step.outcome, Outcome::kNeedMore) << line;
    EXPECT_EQ(step.consumed, 0) << line;
  }
  EXPECT_EQ(parser.ParseHead("Host: x\r\n\r\n").outcome, Outcome::kHead);
}

TEST(Request, SaysWhatItHolds) {
  RequestParser parser;
  parser.Reset(100'000);
  EXPECT_LT(parser.request().held_bytes(), 1000);
  ASSERT_EQ(Feed(parser, "GET / HTTP/1.1\r\nX: " + std::string(50'000, 'a'), "\r\n\r\n", 1), Outcome::kHead);
  EXPECT_GT(parser.request().held_bytes(), 50'000);
}

}  // namespace
}  // namespace mi::net
