// The result of a run, for people and for scripts.
#pragma once

#include <optional>
#include <string>

#include "loadgen/sender.h"

namespace mi::loadgen {

// CPU seconds, user and system, that a process has used so far. Nothing if there is no such process.
std::optional<double> CpuSeconds(int pid);

struct Report {
  const SendResult& result;
  double client_cpu_seconds = 0;
  std::optional<double> server_cpu_seconds;
};

std::string ToText(const Report& report);
// {"series","requests","seconds","status":{"204":n},…}
std::string ToJson(const Report& report);

}  // namespace mi::loadgen
