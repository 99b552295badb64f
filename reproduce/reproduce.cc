#include "reproduce/reproduce.h"

#include "reproduce/accuracy/accuracy.h"
#include "reproduce/causal/causal_order.h"
#include "reproduce/denoising/denoising.h"
#include "reproduce/ess/ess.h"
#include "reproduce/mixing/mixing.h"
#include "reproduce/speed/speed.h"
#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::reproduce {

const std::vector<Experiment>& experiments() {
  static const std::vector<Experiment> list{
      {"accuracy", "errors of learned scores of order two and three against exact ones", accuracy},
      {"ess", "effective sample sizes of Langevin, MALA, HMC and Ozaki, exact and learned", ess},
      {"mixing-mnist", "how often chains of digits change class, Langevin against Ozaki",
       mixing_mnist},
      {"mixing-cifar10", "the same of photographs, at the noise level that works", mixing_cifar10},
      {"denoise-mnist", "error bars and components of denoised digits, direct s2 and its rivals",
       denoise_mnist},
      {"denoise-cifar10", "the same of photographs", denoise_cifar10},
      {"speed", "what a direct s2 costs against the Jacobian of s1, in time and memory", speed},
      {"causal-order", "how often causal orders by a learned diagonal of s2 are right",
       causal_order},
  };
  return list;
}

void reproduce(const std::string& name, const ReproduceOptions& options) {
  constexpr const char* kWhere = "reproduce::reproduce";
  if (options.seeds < 1) {
    base::fail_argument(kWhere, "seeds must be at least 1; got {}", options.seeds);
  }
  std::vector<std::string> names;
  for (const Experiment& experiment : experiments()) {
    if (experiment.name == name) {
      io::make_writable_directory(options.out);
      return experiment.run(options);
    }
    names.push_back(experiment.name);
  }
  const std::string near = base::nearest(name, names);
  base::fail_argument(kWhere, "no experiment is called \"{}\"{}", name,
                      near.empty() ? "" : fmt::format("; the nearest is {}", near));
}

}  // namespace scorejet::reproduce
