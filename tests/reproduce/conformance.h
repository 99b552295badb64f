// The experiments that conformance_test.cc holds to what an experiment must do: each binary that
// runs it says which (all_experiments.cc: the whole list), and which are short enough to be run.
#pragma once

#include <vector>

#include "reproduce/reproduce.h"

namespace scorejet::reproduce {

const std::vector<Experiment>& experiments_under_test();
bool experiments_are_run();

}  // namespace scorejet::reproduce
