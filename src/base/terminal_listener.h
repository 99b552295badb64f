// A listener for commands: a bar and notes on stderr, and Ctrl-C as the wish to stop. Change how a
// command speaks, or what a signal does to it, here.
#pragma once

#include "scorejet/listener.h"

namespace scorejet::base {

// Draws bars and prints notes. Signals keep what they do.
Listener terminal_listener();

// The same with `stop`: from now on the first SIGINT or SIGTERM asks work to finish cleanly, and
// the next one ends the process. For work that asks stopped().
Listener interruptible_listener();

// The signal that asked to stop, or 0.
int stop_signal();

}  // namespace scorejet::base
