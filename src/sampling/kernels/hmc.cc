// Hamiltonian Monte Carlo: leapfrog steps of size √(2ε) u, u uniform on (0.8, 1.2), then Metropolis
// (Neal 2011). One leapfrog step with u = 1 is mala.
#include <ATen/ATen.h>

#include <limits>

#include "src/sampling/kernels/moves.h"

namespace scorejet::sampling {
namespace {

Step hmc_step(const Kernel& kernel, const StepInput& input) {
  const at::TensorOptions options = input.state.x.options();
  const int64_t leapfrog_steps = evaluations_per_step(kernel, input.options);
  const at::Tensor jitter = 0.8 + 0.4 * input.noise.uniform(1, options);
  const at::Tensor h = ((2 * input.step_size).sqrt() * jitter).unsqueeze(-1);
  const at::Tensor start = input.noise.normal(input.state.x.size(1), options);
  at::Tensor momentum = start + h / 2 * input.state.jet.s1;
  at::Tensor valid = at::ones({start.size(0)}, options.dtype(at::kBool));
  ChainState state = input.state;
  StepInfo info;
  info.num_evaluations = leapfrog_steps;
  for (int64_t l = 1; l <= leapfrog_steps; ++l) {
    Arrival arrival = arrive(kernel, input, state.x + h * momentum);
    valid = valid.logical_and(arrival.position_ok).logical_and(arrival.score_ok);
    state = std::move(arrival.state);
    const double share = l < leapfrog_steps ? 1.0 : 0.5;
    momentum = momentum + share * h * state.jet.s1;
  }
  const auto kinetic = [](const at::Tensor& p) { return p.to(at::kDouble).square().sum(-1) / 2; };
  const at::Tensor log_ratio =
      state.log_density - input.state.log_density + kinetic(start) - kinetic(momentum);
  return accept(input, state, log_ratio, valid, std::move(info));
}

}  // namespace

Kernel hmc_kernel() {
  return {.name = "hmc",
          .law = "leapfrog steps, then Metropolis with log p: exact",
          .adjustment = Adjustment::kExact,
          .exactness = Exactness::kAlways,
          .target_acceptance = 0.8,
          .options = {{.name = "leapfrog",
                       .value = 10,
                       .least = 1,
                       .most = std::numeric_limits<double>::infinity(),
                       .integer = true,
                       .help = "hmc: evaluations a step"}},
          .evaluations = "leapfrog",
          .step = hmc_step};
}

}  // namespace scorejet::sampling
