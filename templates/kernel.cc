// A kernel to copy: underdamped Langevin, which carries a velocity and has a friction. Put the copy
// into src/sampling/kernels/, and its function into kernels/list.cc: the command, the benchmarks
// and the tests then run it.
//
// dx = v dt, dv = (s1 − γ v) dt + √(2γ) dW leaves p_sigma(x) N(v; 0, I) as it is. A step of length
// h = √(2ε) lets friction and noise act on v, exactly, and then takes one leapfrog step (Horowitz
// 1991, without his acceptance). Without memory (γ → ∞) it is Langevin's, and as wrong.
#include <ATen/ATen.h>

#include <cmath>

#include "src/sampling/kernels/moves.h"

namespace scorejet::sampling {
namespace {

Step underdamped_step(const Kernel& kernel, const StepInput& input) {
  const double friction = option_value(kernel, input.options, "friction");
  const at::Tensor h = (2 * input.step_size).sqrt().unsqueeze(-1);  // [C, 1]
  const at::Tensor z = input.noise.normal(input.state.x.size(1), input.state.x.options());
  const at::Tensor kept = (-friction * h).exp();
  at::Tensor v = kept * input.state.carry.at("velocity") + (1 - kept.square()).sqrt() * z;
  v = v + h / 2 * input.state.jet.s1;
  Step result = move(kernel, input, input.state.x + h * v, {});
  result.state.carry["velocity"] = v + h / 2 * result.state.jet.s1;
  return result;
}

void draw_velocity(ChainState& state, const Noise& noise) {
  state.carry["velocity"] = noise.normal(state.x.size(1), state.x.options());
}

}  // namespace

Kernel underdamped_kernel() {
  return {
      .name = "underdamped",
      .law = "Langevin with a velocity and a friction, unadjusted: one evaluation, wrong by O(ε)",
      .exactness = Exactness::kSmallSteps,
      .options = {{.name = "friction",
                   .value = 1,
                   .least = 0.001,
                   .most = 1000,
                   .integer = false,
                   .help = "underdamped: share of the velocity lost in a unit of time"}},
      .step = underdamped_step,
      .begin = draw_velocity};
}

}  // namespace scorejet::sampling
