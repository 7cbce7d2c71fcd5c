// Where the process spends its time and its memory, in the forms that pprof reads. gperftools does the work; builds
// with a sanitizer are made without it, and say so.
#pragma once

#include <string>

#include "base/result.h"

namespace mi::telemetry {

// Starts the program over, once, with what gperftools takes from the environment alone, and before main: the sampling
// of the heap, and a way to walk stacks that can neither lock nor lose itself in code without frame pointers
// (docs/measured.md). What the environment says already is left as it is. The first thing that main does: there are no
// threads and no files yet. Returns when nothing is missing, or when it cannot be done; then the heap is not sampled,
// and HeapProfile says why.
void RestartForProfiling(char** argv);

// Samples the whole process, 100 times a CPU second (CPUPROFILE_FREQUENCY), until it is finished.
// Threads: one profile at a time, by any one thread. Errors: kUnavailable with the reason.
Status StartCpuProfile();
// The samples and the memory map: pprof's binary form.
Result<std::string> FinishCpuProfile();

// What is alive on the heap, by the stacks that allocated it: a sample every TCMALLOC_SAMPLE_PARAMETER bytes.
// Threads: safe.
Result<std::string> HeapProfile();
// The stacks that made the heap grow, since the start.
Result<std::string> GrowthProfile();

// A library's thread that was started with every signal blocked (librdkafka's are) takes part in no profile and shows
// no stack: its CPU time would be told of whoever takes the signal instead. Called on such a thread, it takes part.
void ShowThisThreadToProfiles();

}  // namespace mi::telemetry
