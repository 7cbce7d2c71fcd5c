#include "store/dictionary_hash.h"

#include <openssl/sha.h>

#include <algorithm>

namespace mi::store {

std::array<char, 16> DictionaryHash(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  std::array<char, 16> hash;
  std::copy_n(digest.begin(), hash.size(), hash.begin());
  return hash;
}

}  // namespace mi::store
