#include "access/digest.h"

#include <openssl/sha.h>

#include <cstring>
#include <random>

namespace mi::access {

size_t DigestHash::operator()(const Digest& digest) const {
  size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

Digest Sha256(std::string_view text) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

KeyedDigest::KeyedDigest() : key_(64, '\0') {
  std::random_device device;
  for (char& byte : key_) byte = static_cast<char>(device());
}

// The key fills the first block of SHA-256. The results never leave the process, so nobody can extend a message.
Digest KeyedDigest::operator()(std::initializer_list<std::string_view> texts) const {
  std::string message = key_;
  for (const std::string_view text : texts) {
    const uint64_t size = text.size();
    message.append(reinterpret_cast<const char*>(&size), sizeof size).append(text);
  }
  const Digest digest = Sha256(message);
  explicit_bzero(message.data(), message.size());
  return digest;
}

}  // namespace mi::access
