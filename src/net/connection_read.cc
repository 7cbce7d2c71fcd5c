#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cstring>

#include "net/connection.h"

namespace mi::net {
namespace {

constexpr size_t kInputBytes = 16 << 10;
constexpr size_t kMaxPipelined = 64;           // requests of one connection that wait for answers
constexpr size_t kMaxUnsentBytes = 256 << 10;  // of answers, before more requests are read

}  // namespace

bool Connection::MayTakeRequest() const {
  if (phase_ != Phase::kHead || exchange_count_ >= kMaxPipelined || output_.bytes() > kMaxUnsentBytes) return false;
  // An answer to HTTP/1.0 may have to end the connection.
  return last_ == nullptr || !last_->http10;
}

bool Connection::WantsInput() const {
  if (closed_ || peer_done_ || phase_ == Phase::kStopped) return false;
  return phase_ != Phase::kHead || arriving_ != nullptr || MayTakeRequest();
}

// False when there was nothing to read for now.
bool Connection::Read() {
  if (phase_ == Phase::kBody) {
    BodyBuffer& body = arriving_->body;
    if (body.room() == 0 && !GrowBody(body.reserved() * 2)) return true;
    const size_t got = ReadInto(body.end(), body.room());
    const size_t taken = std::min(got, body.room());
    body.Grew(taken);
    return got > 0;
  }
  if (!MakeInputRoom()) {
    if (phase_ == Phase::kSkipChunked) {
      NextRequest(true);  // answered already
    } else {
      Abort(431, "header (or the frame of a chunk) is too large");
    }
    return true;
  }
  return ReadInto(nullptr, 0) > 0;
}

// Fills what is left of a body, then the input: the next request often comes with the end of this one.
size_t Connection::ReadInto(char* body, size_t room) {
  if (input_.bytes == nullptr) input_ = loop_.pool().Take(kInputBytes);
  const size_t input_room = input_.capacity - input_end_;
  const std::array<boost::asio::mutable_buffer, 2> buffers = {
      boost::asio::mutable_buffer(body, room),
      boost::asio::mutable_buffer(input_.bytes.get() + input_end_, input_room)};
  boost::system::error_code error;
  const size_t got = socket_.read_some(buffers, error);
  if (error == boost::asio::error::would_block) return 0;
  if (error == boost::asio::error::eof) {
    OnEnd();
    return 0;
  }
  if (error) {
    Shut();
    return 0;
  }
  if (got > room) input_end_ += got - room;
  socket_drained_ = got < room + input_room;
  return got;
}

// The peer will send nothing more. It may still be reading.
void Connection::OnEnd() {
  peer_done_ = true;
  switch (phase_) {
    case Phase::kLinger: return Shut();
    case Phase::kStopped: return;
    case Phase::kSkip:
    case Phase::kSkipChunked: return NextRequest(true);
    case Phase::kHead:
    case Phase::kBody:
    case Phase::kChunked:
      if (!arriving_) {
        phase_ = Phase::kStopped;
      } else if (phase_ == Phase::kBody) {
        Abort(400, format("the body ended after {} bytes, Content-Length is {}", arriving_->body.size(),
                          arriving_->body_bytes));
      } else {
        Abort(400, "the request ended early");
      }
  }
}

void Connection::DropInput(size_t count) {
  input_begin_ += count;
  if (input_begin_ == input_end_) input_begin_ = input_end_ = 0;
}

// False when what has to be parsed in one piece is larger than a header may be.
bool Connection::MakeInputRoom() {
  if (input_.bytes == nullptr || input_end_ < input_.capacity) return true;
  const size_t size = input_end_ - input_begin_;
  if (input_begin_ > 0) {
    std::memmove(input_.bytes.get(), input_.bytes.get() + input_begin_, size);
  } else {
    if (size > state_.options.max_header_bytes) return false;
    Block larger = loop_.pool().Take(input_.capacity * 2);
    std::memcpy(larger.bytes.get(), input_.bytes.get(), size);
    loop_.pool().Return(std::exchange(input_, std::move(larger)));
  }
  input_begin_ = 0;
  input_end_ = size;
  return true;
}

Connection::Step Connection::Consume() {
  Step step = Step::kAgain;
  while (step == Step::kAgain && !closed_) {
    switch (phase_) {
      case Phase::kHead: step = ConsumeHead(); break;
      case Phase::kBody: step = ConsumeBody(); break;
      case Phase::kChunked: step = ConsumeChunked(); break;
      case Phase::kSkip: step = ConsumeSkipped(); break;
      case Phase::kSkipChunked: step = ConsumeSkippedChunks(); break;
      case Phase::kStopped: return Step::kBlocked;
      case Phase::kLinger: DropLingering(); return Step::kNeedInput;
    }
  }
  return step;
}

Connection::Step Connection::ConsumeHead() {
  if (!arriving_) {
    if (!MayTakeRequest()) return Step::kBlocked;
    // Empty lines between requests are to be forgiven (RFC 9112, 2.2).
    while (!input().empty() && (input().front() == '\r' || input().front() == '\n')) DropInput(1);
    if (input().empty()) return Step::kNeedInput;
    arriving_ = loop_.NewArrival();
    arriving_->since = std::chrono::steady_clock::now();
    arriving_->parser->Reset(static_cast<uint32_t>(state_.options.max_header_bytes));
  }
  const RequestParser::Step parsed = arriving_->parser->ParseHead(input());
  DropInput(parsed.consumed);
  switch (parsed.outcome) {
    case RequestParser::Outcome::kNeedMore: return Step::kNeedInput;
    case RequestParser::Outcome::kDone:
    case RequestParser::Outcome::kHead: OnHead(); break;
    case RequestParser::Outcome::kBad: Abort(400, arriving_->parser->reason()); break;
    case RequestParser::Outcome::kNotImplemented: Abort(501, "transfer coding is not chunked"); break;
    case RequestParser::Outcome::kHeaderTooLarge:
      Abort(431, format("header is larger than {}", FormatBytes(state_.options.max_header_bytes)));
      break;
  }
  return Step::kAgain;
}

Connection::Step Connection::ConsumeBody() {
  BodyBuffer& body = arriving_->body;
  if (!input().empty()) arriving_->continue_due = false;
  while (body.size() < arriving_->body_bytes && !input().empty()) {
    if (body.room() == 0 && !GrowBody(body.reserved() * 2)) return Step::kAgain;
    const std::string_view part = input().substr(0, body.room());
    body.Append(part);
    DropInput(part.size());
  }
  if (body.size() < arriving_->body_bytes) return Step::kNeedInput;
  Dispatch();
  return Step::kAgain;
}

Connection::Step Connection::ConsumeChunked() {
  if (!input().empty()) arriving_->continue_due = false;
  std::string& piece = arriving_->piece;
  piece.clear();
  const RequestParser::Step parsed = arriving_->parser->ParseChunked(input(), piece);
  DropInput(parsed.consumed);
  arriving_->body_bytes += piece.size();
  BodyBuffer& body = arriving_->body;
  if (arriving_->body_bytes > arriving_->decision.max_body_bytes) {
    RefuseTooLarge();
    return Step::kAgain;
  }
  if (body.room() < piece.size() && !GrowBody(std::max(body.reserved() * 2, body.size() + piece.size()))) {
    return Step::kAgain;
  }
  body.Append(piece);
  switch (parsed.outcome) {
    case RequestParser::Outcome::kNeedMore: return Step::kNeedInput;
    case RequestParser::Outcome::kDone: Dispatch(); break;
    default: Abort(400, arriving_->parser->reason()); break;
  }
  return Step::kAgain;
}

Connection::Step Connection::ConsumeSkipped() {
  const size_t count = std::min<uint64_t>(input().size(), arriving_->body_bytes - arriving_->skipped);
  DropInput(count);
  arriving_->skipped += count;
  if (arriving_->skipped < arriving_->body_bytes) return Step::kNeedInput;
  NextRequest(arriving_->last);
  return Step::kAgain;
}

Connection::Step Connection::ConsumeSkippedChunks() {
  std::string& piece = arriving_->piece;
  piece.clear();
  const RequestParser::Step parsed = arriving_->parser->ParseChunked(input(), piece);
  DropInput(parsed.consumed);
  arriving_->skipped += piece.size();
  const bool over = arriving_->skipped > state_.options.max_discarded_bytes;
  if (parsed.outcome == RequestParser::Outcome::kNeedMore && !over) return Step::kNeedInput;
  NextRequest(over || arriving_->last || parsed.outcome != RequestParser::Outcome::kDone);
  return Step::kAgain;
}

void Connection::DropLingering() {
  lingered_ += input().size();
  DropInput(input().size());
  if (lingered_ > state_.options.max_discarded_bytes) Shut();
}

}  // namespace mi::net
