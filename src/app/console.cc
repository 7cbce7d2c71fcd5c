#include "app/console.h"

#include <cstdio>

#include "base/format.h"

namespace mi::app {

int Complain(int exit_code, std::string_view text) {
  std::fputs(format("metric-index: {}\n", text).c_str(), stderr);
  return exit_code;
}

int Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : kFailed;
}

config::Sources SourcesOf(const Command& command) {
  return {.file = command.config_file, .environment = config::ProcessEnvironment(), .command_line = command.overrides};
}

}  // namespace mi::app
