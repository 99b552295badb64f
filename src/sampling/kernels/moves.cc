#include "src/sampling/kernels/moves.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace scorejet::sampling {
namespace {

at::Tensor finite_states(const ChainState& state) {
  at::Tensor good = at::isfinite(state.jet.s1).all(-1);
  if (state.jet.s2) good = good.logical_and(linalg::finite_rows(*state.jet.s2));
  if (state.log_density.defined()) good = good.logical_and(at::isfinite(state.log_density));
  return good;
}

// log p(to) − log p(from): known, or by the line between them; then `info` counts its evaluations.
at::Tensor log_density_difference(const Kernel& kernel, const StepInput& input,
                                  const ChainState& to, StepInfo& info) {
  const ChainState& from = input.state;
  if (kernel.adjustment == Adjustment::kExact) return to.log_density - from.log_density;
  const int64_t panels = evaluations_per_step(kernel, input.options);
  std::vector<LinePoint> points{{from.x, from.jet}};
  for (int64_t k = 1; k < panels; ++k) {
    LinePoint between;
    between.x = from.x + static_cast<double>(k) / static_cast<double>(panels) * (to.x - from.x);
    between.jet = input.target.field->evaluate(between.x, input.target.sigma, 1);
    points.push_back(std::move(between));
  }
  points.push_back({to.x, to.jet});
  info.num_evaluations = panels;
  return line_difference(points);
}

}  // namespace

ChainState state_at(const Kernel& kernel, const Target& target, const at::Tensor& x) {
  ChainState state;
  state.x = x;
  state.jet = target.field->evaluate(x, target.sigma, kernel.order);
  if (kernel.adjustment == Adjustment::kExact) {
    state.log_density = target.log_density(x).to(at::kDouble);
  }
  if (kernel.derive != nullptr) kernel.derive(state);
  return state;
}

Arrival arrive(const Kernel& kernel, const StepInput& input, const at::Tensor& x) {
  Arrival arrival;
  arrival.position_ok = at::isfinite(x).all(-1);
  const at::Tensor safe = at::where(arrival.position_ok.unsqueeze(-1), x, input.state.x);
  ChainState next = state_at(kernel, input.target, safe);
  next.carry = input.state.carry;
  arrival.score_ok = finite_states(next);
  arrival.state = select_rows(arrival.score_ok, next, input.state);
  return arrival;
}

Step move(const Kernel& kernel, const StepInput& input, const at::Tensor& x, StepInfo info) {
  Arrival arrival = arrive(kernel, input, x);
  const auto code = [](Fault fault) { return static_cast<int64_t>(fault); };
  info.fault = arrival.score_ok.logical_not().to(at::kLong) * code(Fault::kScore);
  info.fault.masked_fill_(arrival.position_ok.logical_not(), code(Fault::kPosition));
  return {std::move(arrival.state), std::move(info)};
}

Step accept(const StepInput& input, const ChainState& proposed, const at::Tensor& log_ratio,
            const at::Tensor& valid, StepInfo info) {
  const at::Tensor ratio = at::where(valid.logical_and(log_ratio.isnan().logical_not()), log_ratio,
                                     at::full_like(log_ratio, -INFINITY));
  info.acceptance = ratio.clamp_max(0).exp();
  const at::Tensor u = input.noise.uniform(0, log_ratio.options());
  return {select_rows(u < info.acceptance, proposed, input.state), std::move(info)};
}

Step metropolis(const Kernel& kernel, const StepInput& input) {
  const ChainState& from = input.state;
  const Gaussian forward = kernel.propose(kernel, from, input.step_size, input.options);
  const at::Tensor z = input.noise.normal(from.x.size(1), from.x.options());
  const Arrival arrival = arrive(kernel, input, draw(forward, z));
  const ChainState& to = arrival.state;
  const Gaussian backward = kernel.propose(kernel, to, input.step_size, input.options);
  StepInfo info;
  info.bounded = forward.bounded;
  const at::Tensor difference = log_density_difference(kernel, input, to, info);
  return accept(input, to, difference + log_density(backward, from.x) - log_density(forward, to.x),
                arrival.position_ok.logical_and(arrival.score_ok), std::move(info));
}

KernelOption line_panels_option() {
  return {.name = "line-panels",
          .value = 1,
          .least = 1,
          .most = std::numeric_limits<double>::infinity(),
          .integer = true,
          .help = "line- kernels: pieces of the line integral, and evaluations a step"};
}

}  // namespace scorejet::sampling
