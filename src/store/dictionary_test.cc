#include "store/dictionary.h"

#include <string>

#include "base/format.h"

namespace mi::store {
namespace {

// From coreutils: printf %s up | sha256sum | cut -c 1-32
TEST(DictionaryHash, IsTheFirstHalfOfSha256) {
  const auto f = [](std::string_view in, std::string_view expected) {
    std::string hex;
    for (const char byte : DictionaryHash(in)) hex += format("{:02x}", static_cast<unsigned char>(byte));
    EXPECT_EQ(hex, expected) << in.size();
  };
  f("", "e3b0c44298fc1c149afbf4c8996fb924");
  f("up", "75a288c0d6898c5f7b054590845978a8");
  f("abc", "ba7816bf8f01cfea414140de5dae2223");
  f(std::string_view("a\0b", 3), "59b271ae1bbcb1d31d41929817f4b16f");
  f(std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67");
}

}  // namespace
}  // namespace mi::store
