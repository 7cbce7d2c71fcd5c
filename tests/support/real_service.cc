#include "support/real_service.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>

namespace mi {
namespace {

constexpr int kNotInstalled = 77;

std::string FirstLine(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// Destroyed when the process ends normally. Otherwise the launcher notices the end and stops the service.
struct Running {
  std::unique_ptr<RealService> service;
  bool failed = false;  // the start failed: every test that asks fails; none is skipped
  ~Running() {
    if (service == nullptr) return;
    service->Kill();
    std::filesystem::remove_all(service->directory());
  }
};

}  // namespace

RealService* RealService::Get(const std::string& name) {
  static std::map<std::string, Running> services;
  const auto [at, fresh] = services.try_emplace(name);
  if (at->second.failed) throw std::runtime_error(name + " did not start");
  if (!fresh) return at->second.service.get();
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("mi-" + name + "-" + std::to_string(getpid()));
  std::unique_ptr<RealService> service(new RealService(name, directory.string()));
  const int code = service->Run("start");
  if (code == kNotInstalled) return nullptr;
  at->second.failed = code != 0;
  if (code != 0) throw std::runtime_error(name + " does not start, see what its launcher says");
  service->port_ = static_cast<uint16_t>(std::stoi(FirstLine(directory / "port")));
  at->second.service = std::move(service);
  return at->second.service.get();
}

RealService::RealService(std::string name, std::string directory)
    : name_(std::move(name)), directory_(std::move(directory)) {}

void RealService::Kill() { Run("kill"); }
void RealService::Stop() { Run("stop"); }
void RealService::Freeze() { Signal(SIGSTOP); }
void RealService::Thaw() { Signal(SIGCONT); }

void RealService::Start() {
  if (Run("start") != 0) throw std::runtime_error(name_ + " does not start again");
}

int RealService::Run(std::string_view command) {
  std::string line = std::string(MI_SOURCE_DIR "/scripts/services/") + name_ + " " + std::string(command) + " '" +
                     directory_ + "' >/dev/null";
  if (command == "start") line += " --until " + std::to_string(getpid());
  const int status = std::system(line.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void RealService::Signal(int number) const {
  kill(static_cast<pid_t>(std::stoi(FirstLine(std::filesystem::path(directory_) / "pid"))), number);
}

}  // namespace mi
