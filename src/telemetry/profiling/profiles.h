// Where the process spends its time and its memory, in the forms that pprof reads. gperftools does the work. Builds
// with a sanitizer have no gperftools; every function then says so.
#pragma once

#include <string>

#include "base/result.h"

namespace mi::telemetry {

// Restarts the program once, with the settings that gperftools reads only from the environment and only before main:
// the sampling of the heap, and a stack walker that neither locks nor needs frame pointers (docs/measured.md).
// Variables that the environment sets already are kept. Call it first in main, before there are threads or open files.
// Returns if nothing is missing, or if the restart fails; then the heap is not sampled, and HeapProfile says why.
void RestartForProfiling(char** argv);

// Samples the whole process 100 times per CPU second (CPUPROFILE_FREQUENCY), until FinishCpuProfile.
// Threads: one profile at a time, from any one thread. Errors: kUnavailable with the reason.
Status StartCpuProfile();
// The samples and the memory map, in pprof's binary form. Requires: a successful StartCpuProfile.
Result<std::string> FinishCpuProfile();

// The live objects of the heap, by the stack that allocated them: one sample per TCMALLOC_SAMPLE_PARAMETER bytes.
// Threads: safe. Errors: kUnavailable with the reason.
Result<std::string> HeapProfile();
// The stacks that made the heap grow since the start. Threads: safe.
Result<std::string> GrowthProfile();

}  // namespace mi::telemetry
