// How tasks speak on a terminal: a bar, and lines above it, on stderr.
#pragma once

#include "scorejet/listener.h"

namespace scorejet::base {

// Draws a bar a task; milestones and notices are lines of their own. Never asks to stop.
Listener terminal_listener();

}  // namespace scorejet::base
