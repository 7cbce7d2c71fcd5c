// A real service (MariaDB, Redis, Kafka) for the tests of one binary. It starts on loopback at the first Get(), with
// its own directory, and ends with the process, even if the process crashes.
//
//   auto* redis = RealService::Get("redis");
//   if (redis == nullptr) GTEST_SKIP() << RealService::kMissing;
//
// Threads: confined to the test's thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mi {

class RealService {
 public:
  // ctest searches the output for these words and reports the binary as skipped.
  static constexpr std::string_view kMissing = "REAL SERVICE MISSING";

  // `name` is a launcher in scripts/services. Returns nullptr if the service is not installed. A service that does not
  // start makes the test fail.
  static RealService* Get(const std::string& name);

  uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  const std::string& directory() const { return directory_; }  // where its data, log and unix socket are

  void Kill();    // SIGKILL, and waits
  void Stop();    // SIGTERM, and waits
  void Start();   // again, on the same port, with the same data
  void Freeze();  // SIGSTOP
  void Thaw();

 private:
  RealService(std::string name, std::string directory);
  // Returns the exit code of the launcher.
  int Run(std::string_view command);
  void Signal(int number) const;

  const std::string name_;
  const std::string directory_;
  uint16_t port_ = 0;
};

}  // namespace mi
