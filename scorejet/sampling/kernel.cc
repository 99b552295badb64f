#include "scorejet/sampling/kernel.h"

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/base/check.h"
#include "scorejet/linalg/matrix_function.h"

namespace scorejet::sampling {
namespace {

Step langevin(const ChainState& state, const at::Tensor& noise, const KernelOptions& options) {
  const double epsilon = options.step_size;
  return {state.x + epsilon * state.jet.s1 + std::sqrt(2 * epsilon) * noise, {}};
}

Step ozaki(const ChainState& state, const at::Tensor& noise, const KernelOptions& options) {
  const double epsilon = options.step_size;
  const double bound = options.max_growth;
  const auto drift = [=](const at::Tensor& lambda) {
    return epsilon * linalg::phi1((epsilon * lambda).clamp_max(bound));
  };
  const auto root = [=](const at::Tensor& lambda) {
    return (2 * epsilon * linalg::phi1((2 * epsilon * lambda).clamp_max(2 * bound))).sqrt();
  };
  const linalg::MatrixFunctionResult result =
      linalg::apply_functions(*state.jet.s2, {drift, root}, at::stack({state.jet.s1, noise}, -1),
                              {.tolerance = options.tolerance});
  Step step;
  step.x = state.x + result.values.sum(-1);
  step.info.bounded = epsilon * result.eigen_max > bound;
  step.info.krylov_steps = result.steps;
  step.info.krylov_error = result.error;
  return step;
}

}  // namespace

const std::vector<Kernel>& kernels() {
  static const std::vector<Kernel> list{{"langevin", 1, langevin}, {"ozaki", 2, ozaki}};
  return list;
}

const Kernel& find_kernel(const std::string& name) {
  std::vector<std::string> names;
  for (const Kernel& kernel : kernels()) {
    if (name == kernel.name) return kernel;
    names.push_back(kernel.name);
  }
  base::fail_argument("sampling::find_kernel", "kernel must be one of {}; got \"{}\" (nearest: {})",
                      fmt::join(names, ", "), name, base::nearest(name, names));
}

}  // namespace scorejet::sampling
