#include <cstdio>

#include "app/command_line.h"
#include "app/run.h"
#include "telemetry/profiling.h"

int main(int argc, char** argv) {
  mi::telemetry::RestartForProfiling(argv);
  auto parsed = mi::app::ParseCommandLine(argc, argv);
  if (const auto* leave = std::get_if<mi::app::Leave>(&parsed)) {
    std::fputs(leave->text.c_str(), leave->exit_code == 0 ? stdout : stderr);
    return leave->exit_code;
  }
  return mi::app::Run(std::get<mi::app::Command>(parsed));
}
