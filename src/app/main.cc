#include <cstdio>

#include "app/command_line.h"
#include "app/commands.h"
#include "base/fatal.h"
#include "telemetry/profiling/profiles.h"

int main(int argc, char** argv) {
  mi::InstallOutOfMemoryHandler();
  mi::telemetry::RestartForProfiling(argv);
  auto parsed = mi::app::ParseCommandLine(argc, argv);
  if (const auto* leave = std::get_if<mi::app::Leave>(&parsed)) {
    std::fputs(leave->text.c_str(), leave->exit_code == 0 ? stdout : stderr);
    return leave->exit_code;
  }
  return mi::app::RunCommand(std::get<mi::app::Command>(parsed));
}
