// Langevin's proposal N(x + ε s1, 2ε I): every proposal taken, or accepted by Metropolis and
// Hastings with log p or with its line integral.
#include <ATen/ATen.h>

#include "src/sampling/kernels/moves.h"

namespace scorejet::sampling {
namespace {

Gaussian langevin_proposal(const Kernel&, const ChainState& state, const at::Tensor& step_size,
                           const KernelOptions&) {
  const at::Tensor epsilon = step_size.unsqueeze(-1);
  return {state.x + epsilon * state.jet.s1, (2 * epsilon).expand_as(state.x), {}, {}};
}

Step langevin_step(const Kernel& kernel, const StepInput& input) {
  const at::Tensor z = input.noise.normal(input.state.x.size(1), input.state.x.options());
  const Gaussian gaussian = langevin_proposal(kernel, input.state, input.step_size, input.options);
  return move(kernel, input, draw(gaussian, z), {});
}

}  // namespace

Kernel langevin_kernel() {
  return {.name = "langevin",
          .law =
              "x' = x + ε s1 + √(2ε) z, unadjusted (Euler-Maruyama): one evaluation, wrong by "
              "O(ε)",
          .step = langevin_step};
}

Kernel mala_kernel() {
  return {.name = "mala",
          .law =
              "langevin as a proposal, accepted by Metropolis and Hastings with log p (Roberts "
              "& Tweedie 1996): exact",
          .adjustment = Adjustment::kExact,
          .exactness = Exactness::kAlways,
          .target_acceptance = 0.574,
          .step = metropolis,
          .propose = langevin_proposal};
}

Kernel line_mala_kernel() {
  return {.name = "line-mala",
          .law = "mala where log p is not known: its difference by the line integral of s1 and s2",
          .order = 2,
          .adjustment = Adjustment::kLine,
          .exactness = Exactness::kLine,
          .target_acceptance = 0.574,
          .options = {line_panels_option()},
          .evaluations = "line-panels",
          .step = metropolis,
          .propose = langevin_proposal};
}

}  // namespace scorejet::sampling
