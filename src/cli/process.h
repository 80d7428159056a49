// cli/process.h: how the program stands among others: its terminal, its pipes, its cores.
#pragma once
#include <string>

namespace loraxs {

/// Before anything is loaded or opened. Descriptors 0 to 2 exist, so that no file of a command takes the place of
/// standard output; a closed pipe ends the program quietly (SIGPIPE, also where a parent ignored it); a limit on file
/// sizes is an error of the write, not a signal; Ctrl-C ends it with 130, until a command that has something to save
/// takes SIGINT over. Where Ctrl-C is ignored (a background job of a script), it stays so.
void prepare_process();

/// To be called before OpenMP's library is loaded, which then reads it: threads that wait for others spin for a
/// fraction of a millisecond only, then sleep. What the user said (OMP_WAIT_POLICY, GOMP_SPINCOUNT) stands.
void bound_spinning();

/// Writes out what is buffered for standard output; false, with a sentence on standard error, where that fails.
bool flush_output();

}  // namespace loraxs
