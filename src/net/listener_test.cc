#include "net/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace mi::net {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ListenAddress, ReadsHostAndPort) {
  const auto reads = [](std::string_view text, std::string_view host, int port) {
    const Result<ListenAddress> address = ListenAddress::Parse(text);
    ASSERT_TRUE(address.has_value()) << text << ": " << address.error().message();
    EXPECT_EQ(address->host, host) << text;
    EXPECT_EQ(address->port, port) << text;
  };
  reads(":7001", "", 7001);
  reads("127.0.0.1:7001", "127.0.0.1", 7001);
  reads("localhost:0", "localhost", 0);
  reads("[::1]:65535", "::1", 65535);
  reads("[::]:80", "::", 80);
}

TEST(ListenAddress, RefusesWithTheKnobsName) {
  for (const std::string_view text :
       {"", "7001", "localhost", ":", ":x", ":-1", ":65536", ":80 ", "::1:7001", "a:b:1"}) {
    const Result<ListenAddress> address = ListenAddress::Parse(text);
    ASSERT_FALSE(address.has_value()) << text;
    EXPECT_EQ(address.error().code(), Errc::kInvalid) << text;
    EXPECT_THAT(address.error().message(), HasSubstr("app.listen")) << text;
  }
}

TEST(Listen, NamesAddressAndKnobWhenThePortIsInUse) {
  const Result<Listeners> first = Listen("127.0.0.1:0", 1);
  ASSERT_TRUE(first.has_value());
  const std::string address = "127.0.0.1:" + std::to_string(first->port);
  const Result<Listeners> second = Listen(address, 1);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), Errc::kUnavailable);
  EXPECT_THAT(second.error().message(), AllOf(HasSubstr(address), HasSubstr("in use"), HasSubstr("app.port")));
}

// SO_REUSEPORT alone would let the second one in, and each would get half of the senders.
TEST(Listen, APortThatIsSharedByThreadsIsStillInUseForOthers) {
  const Result<Listeners> first = Listen("127.0.0.1:0", 4);
  ASSERT_TRUE(first.has_value()) << first.error().message();
  EXPECT_EQ(first->sockets.size(), 4);
  EXPECT_FALSE(Listen("127.0.0.1:" + std::to_string(first->port), 4).has_value());
  EXPECT_FALSE(Listen(":" + std::to_string(first->port), 1).has_value());
}

TEST(Listen, EachThreadGetsItsShareOfThePort) {
  const Result<Listeners> listeners = Listen("127.0.0.1:0", 2);
  ASSERT_TRUE(listeners.has_value());
  std::vector<FileDescriptor> clients;
  std::array<int, 2> accepted{};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(listeners->port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // The kernel chooses by hash: that 200 in a row fall on one of two sockets does not happen.
  for (int i = 0; i < 200; ++i) {
    FileDescriptor& client = clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    for (size_t at = 0; at < accepted.size(); ++at) {
      FileDescriptor connection(accept(listeners->sockets[at].get(), nullptr, nullptr));
      accepted[at] += connection.get() >= 0;
    }
  }
  EXPECT_GT(accepted[0], 0);
  EXPECT_GT(accepted[1], 0);
}

TEST(Listen, AnAddressOfAnotherMachineIsUnavailable) {
  const Result<Listeners> listeners = Listen("192.0.2.1:0", 1);  // TEST-NET-1
  ASSERT_FALSE(listeners.has_value());
  EXPECT_EQ(listeners.error().code(), Errc::kUnavailable);
  EXPECT_THAT(listeners.error().message(), HasSubstr("192.0.2.1:0"));
}

}  // namespace
}  // namespace mi::net
