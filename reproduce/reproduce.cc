// The list of experiments. Add yours here, twice: what its file defines, and its place in the list.
#include "reproduce/reproduce.h"

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::reproduce {

Experiment accuracy_experiment();         // accuracy/accuracy.cc
Experiment ess_experiment();              // ess/ess.cc
Experiment mixing_mnist_experiment();     // mixing/mixing.cc
Experiment mixing_cifar10_experiment();   //
Experiment denoise_mnist_experiment();    // denoising/denoising.cc
Experiment denoise_cifar10_experiment();  //
Experiment speed_experiment();            // speed/speed.cc
Experiment causal_order_experiment();     // causal/causal_order.cc

const std::vector<Experiment>& experiments() {
  static const std::vector<Experiment> list{
      accuracy_experiment(),       ess_experiment(),           mixing_mnist_experiment(),
      mixing_cifar10_experiment(), denoise_mnist_experiment(), denoise_cifar10_experiment(),
      speed_experiment(),          causal_order_experiment()};
  return list;
}

void reproduce(const Experiment& experiment, const ReproduceOptions& options) {
  if (options.seeds < 1) {
    base::fail_argument("reproduce::reproduce", "seeds must be at least 1; got {}", options.seeds);
  }
  io::make_writable_directory(options.out);
  experiment.run(options);
}

void reproduce(const std::string& name, const ReproduceOptions& options) {
  std::vector<std::string> names;
  for (const Experiment& experiment : experiments()) {
    if (experiment.name == name) return reproduce(experiment, options);
    names.push_back(experiment.name);
  }
  const std::string near = base::nearest(name, names);
  base::fail_argument("reproduce::reproduce", "no experiment is called \"{}\"{}", name,
                      near.empty() ? "" : fmt::format("; the nearest is {}", near));
}

}  // namespace scorejet::reproduce
