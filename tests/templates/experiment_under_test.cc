// The experiment of templates/experiment.cc passes what every experiment must, and runs.
#include "tests/reproduce/conformance.h"

namespace scorejet::reproduce {

Experiment mean_error_experiment();  // templates/experiment.cc

const std::vector<Experiment>& experiments_under_test() {
  static const std::vector<Experiment> list{mean_error_experiment()};
  return list;
}
bool experiments_are_run() { return true; }

}  // namespace scorejet::reproduce
