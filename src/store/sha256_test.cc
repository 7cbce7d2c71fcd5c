#include "store/sha256.h"

#include "base/format.h"

namespace mi::store {
namespace {

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const unsigned char byte : Sha256(bytes)) hex += format("{:02x}", byte);
  return hex;
}

// FIPS 180-4's own examples, and the lengths around a block's end (from coreutils' sha256sum).
TEST(Sha256, AgreesWithTheStandard) {
  const auto f = [](std::string_view in, std::string_view hex) { EXPECT_EQ(Hex(in), hex) << in.size(); };
  f("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  f("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  f("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  f("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
    "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  f(std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  f(std::string(55, 'x'), "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072");
  f(std::string(56, 'x'), "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e");
  f(std::string(63, 'x'), "75220b47218278e656f2013bb8f0c455a25eaf01e86c64924e9d48d89776d6f2");
  f(std::string(64, 'x'), "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c");
  f(std::string(65, 'x'), "9537c5fdf120482f7d58d25e9ed583f52c02b4e304ea814db1633ad565aed7e9");
  f(std::string(119, 'x'), "000b48d4edf0fa7bee3c6236ecd2785baa5db4eeb8bb54341b029e0d9fa5fb0c");
  f(std::string(120, 'x'), "13f05a0b594787f5ecd315edc96141bd3243203d1b7d4f0836f37308b276ba98");
  f(std::string(128, 'x'), "24da1b81d0b16df6428eee73c69fcb2a93c76bc6df706f0c6670fe6bfe800464");
}

TEST(Sha256, GivesItsFirstHalfToTheDictionaries) {
  const std::array<char, 16> hash = DictionaryHash("up");
  std::string hex;
  for (const char byte : hash) hex += format("{:02x}", static_cast<unsigned char>(byte));
  EXPECT_EQ(hex, "75a288c0d6898c5f7b054590845978a8");
}

}  // namespace
}  // namespace mi::store
