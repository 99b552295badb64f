#include "scorejet/sampling/kernel.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>

#include "scorejet/base/check.h"
#include "scorejet/linalg/matrix_function.h"
#include "scorejet/linalg/small_eigh.h"
#include "scorejet/sampling/proposal.h"

namespace scorejet::sampling {
namespace {

using ProposalFunction = Gaussian (*)(const ChainState&, const at::Tensor&, const KernelOptions&);

// The jet at x, and the spectrum where the kernel needs it, without any check.
ChainState evaluate(const Kernel& kernel, const Target& target, const at::Tensor& x) {
  ChainState state;
  state.x = x;
  state.jet = target.field->evaluate(x, target.sigma, kernel.order);
  if (kernel.adjustment == Adjustment::kExact) {
    state.log_density = target.log_density(x, target.sigma).to(at::kDouble);
  }
  if (kernel.spectrum == Spectrum::kNone) return state;
  const linalg::SymmetricOperator& h = *state.jet.s2;
  if (kernel.spectrum == Spectrum::kDiagonal || h.structure() == linalg::Structure::kDiagonal) {
    state.eigenvalues = h.diagonal();
    return state;
  }
  // A row that is not finite is rejected later; eigh must not see it.
  const at::Tensor good = linalg::finite_rows(h).view({-1, 1, 1});
  const at::Tensor matrix = h.dense();
  std::tie(state.eigenvalues, state.eigenvectors) =
      linalg::small_eigh(at::where(good, matrix, at::zeros_like(matrix)));
  return state;
}

at::Tensor finite_rows(const ChainState& state) {
  at::Tensor good = at::isfinite(state.jet.s1).all(-1);
  if (state.jet.s2) good = good.logical_and(linalg::finite_rows(*state.jet.s2));
  if (state.log_density.defined()) good = good.logical_and(at::isfinite(state.log_density));
  return good;
}

// The state at `x`, or the old one in the rows whose position or scores are not finite.
struct Arrival {
  ChainState state;
  at::Tensor position_ok, score_ok;  // [C] bool
};

Arrival arrive(const Kernel& kernel, const StepInput& input, const at::Tensor& x) {
  Arrival arrival;
  arrival.position_ok = at::isfinite(x).all(-1);
  const at::Tensor safe = at::where(arrival.position_ok.unsqueeze(-1), x, input.state.x);
  const ChainState next = evaluate(kernel, input.target, safe);
  arrival.score_ok = finite_rows(next);
  arrival.state = select_rows(arrival.score_ok, next, input.state);
  return arrival;
}

// Moves every chain to x: the end of an unadjusted step.
Step move(const Kernel& kernel, const StepInput& input, const at::Tensor& x, StepInfo info) {
  Arrival arrival = arrive(kernel, input, x);
  const auto code = [](Fault fault) { return static_cast<int64_t>(fault); };
  info.fault = arrival.score_ok.logical_not().to(at::kLong) * code(Fault::kScore);
  info.fault.masked_fill_(arrival.position_ok.logical_not(), code(Fault::kPosition));
  return {std::move(arrival.state), std::move(info)};
}

Step langevin(const Kernel& kernel, const StepInput& input) {
  const at::Tensor z = input.noise.normal(input.state.x.size(1), input.state.x.options());
  const Gaussian gaussian = langevin_proposal(input.state, input.step_size, input.options);
  return move(kernel, input, draw(gaussian, z), {});
}

Step ozaki_with(const Kernel& kernel, const StepInput& input, const linalg::SymmetricOperator& h) {
  const at::Tensor z = input.noise.normal(input.state.x.size(1), input.state.x.options());
  const at::Tensor epsilon = input.step_size.unsqueeze(-1);  // [C, 1]
  const double bound = input.options.max_growth;
  const auto drift = [&](const at::Tensor& lambda) { return ozaki_drift(lambda, epsilon, bound); };
  const auto root = [&](const at::Tensor& lambda) {
    return ozaki_variance(lambda, epsilon, bound).sqrt();
  };
  const linalg::MatrixFunctionResult result =
      linalg::apply_functions(h, {drift, root}, at::stack({input.state.jet.s1, z}, -1),
                              {.tolerance = input.options.tolerance});
  StepInfo info;
  info.bounded = input.step_size * result.eigen_max > bound;
  info.krylov_steps = result.steps;
  info.krylov_error = result.error;
  return move(kernel, input, input.state.x + result.values.sum(-1), std::move(info));
}

Step ozaki(const Kernel& kernel, const StepInput& input) {
  return ozaki_with(kernel, input, *input.state.jet.s2);
}

Step ozaki_diagonal(const Kernel& kernel, const StepInput& input) {
  return ozaki_with(kernel, input,
                    linalg::SymmetricOperator::from_diagonal(input.state.jet.s2->diagonal()));
}

// Accepts `proposed` with probability min(1, exp(log_ratio)), or keeps the old state.
Step accept(const StepInput& input, const ChainState& proposed, const at::Tensor& log_ratio,
            const at::Tensor& valid, StepInfo info) {
  const at::Tensor ratio = at::where(valid.logical_and(log_ratio.isnan().logical_not()), log_ratio,
                                     at::full_like(log_ratio, -INFINITY));
  info.acceptance = ratio.clamp_max(0).exp();
  const at::Tensor u = input.noise.uniform(0, log_ratio.options());
  return {select_rows(u < info.acceptance, proposed, input.state), std::move(info)};
}

// log p(to) − log p(from): known, or by the line between them; then `info` counts its evaluations.
at::Tensor log_density_difference(const Kernel& kernel, const StepInput& input,
                                  const ChainState& to, StepInfo& info) {
  const ChainState& from = input.state;
  if (kernel.adjustment == Adjustment::kExact) return to.log_density - from.log_density;
  const int64_t panels = input.options.line_panels;
  std::vector<ChainState> states{from};
  for (int64_t k = 1; k < panels; ++k) {
    ChainState between;
    between.x = from.x + static_cast<double>(k) / static_cast<double>(panels) * (to.x - from.x);
    between.jet = input.target.field->evaluate(between.x, input.target.sigma, 1);
    states.push_back(std::move(between));
  }
  states.push_back(to);
  info.num_evaluations = panels;
  return line_difference(states);
}

Step metropolis(const Kernel& kernel, const StepInput& input, ProposalFunction propose) {
  const ChainState& from = input.state;
  const Gaussian forward = propose(from, input.step_size, input.options);
  const at::Tensor z = input.noise.normal(from.x.size(1), from.x.options());
  const Arrival arrival = arrive(kernel, input, draw(forward, z));
  const ChainState& to = arrival.state;
  const Gaussian backward = propose(to, input.step_size, input.options);
  StepInfo info;
  info.bounded = forward.bounded;
  const at::Tensor difference = log_density_difference(kernel, input, to, info);
  return accept(input, to, difference + log_density(backward, from.x) - log_density(forward, to.x),
                arrival.position_ok.logical_and(arrival.score_ok), std::move(info));
}

Step adjusted_langevin(const Kernel& kernel, const StepInput& input) {
  return metropolis(kernel, input, langevin_proposal);
}

Step adjusted_ozaki(const Kernel& kernel, const StepInput& input) {
  return metropolis(kernel, input, ozaki_proposal);
}

Step hmc(const Kernel& kernel, const StepInput& input) {
  const at::TensorOptions options = input.state.x.options();
  const at::Tensor jitter = 0.8 + 0.4 * input.noise.uniform(1, options);
  const at::Tensor h = ((2 * input.step_size).sqrt() * jitter).unsqueeze(-1);
  const at::Tensor start = input.noise.normal(input.state.x.size(1), options);
  at::Tensor momentum = start + h / 2 * input.state.jet.s1;
  at::Tensor valid = at::ones({start.size(0)}, options.dtype(at::kBool));
  ChainState state = input.state;
  StepInfo info;
  info.num_evaluations = input.options.leapfrog_steps;
  for (int64_t l = 1; l <= input.options.leapfrog_steps; ++l) {
    Arrival arrival = arrive(kernel, input, state.x + h * momentum);
    valid = valid.logical_and(arrival.position_ok).logical_and(arrival.score_ok);
    state = std::move(arrival.state);
    const double share = l < input.options.leapfrog_steps ? 1.0 : 0.5;
    momentum = momentum + share * h * state.jet.s1;
  }
  const auto kinetic = [](const at::Tensor& p) { return p.to(at::kDouble).square().sum(-1) / 2; };
  const at::Tensor log_ratio =
      state.log_density - input.state.log_density + kinetic(start) - kinetic(momentum);
  return accept(input, state, log_ratio, valid, std::move(info));
}

}  // namespace

const char* fault_name(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "none";
    case Fault::kPosition:
      return "position not finite";
    case Fault::kScore:
      return "score not finite";
    case Fault::kRunaway:
      return "runaway";
  }
  return "";
}

const std::vector<Kernel>& kernels() {
  using enum Adjustment;
  constexpr auto kNoSpectrum = Spectrum::kNone;
  constexpr auto kDiagonal = Spectrum::kDiagonal;
  constexpr auto kFull = Spectrum::kFull;
  static const std::vector<Kernel> list{
      {"langevin", 1, kNone, 0, kNoSpectrum, langevin},
      {"ozaki", 2, kNone, 0, kNoSpectrum, ozaki},
      {"ozaki-diagonal", 2, kNone, 0, kNoSpectrum, ozaki_diagonal},
      {"mala", 1, kExact, 0.574, kNoSpectrum, adjusted_langevin},
      {"metropolis-ozaki", 2, kExact, 0.7, kFull, adjusted_ozaki},
      {"metropolis-ozaki-diagonal", 2, kExact, 0.7, kDiagonal, adjusted_ozaki},
      {"line-mala", 2, kLine, 0.574, kNoSpectrum, adjusted_langevin},
      {"line-ozaki", 2, kLine, 0.7, kFull, adjusted_ozaki},
      {"line-ozaki-diagonal", 2, kLine, 0.7, kDiagonal, adjusted_ozaki},
      {"hmc", 1, kExact, 0.8, kNoSpectrum, hmc}};
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

ChainState init(const Kernel& kernel, const Target& target, const at::Tensor& x) {
  constexpr const char* kWhere = "sampling::init";
  base::check_shape(kWhere, "x", x, {-1, target.field->dim()});
  base::check_finite(kWhere, "x", x);
  if (kernel.order > target.field->max_order()) {
    base::fail_argument(kWhere, "kernel {} needs a score of order {}; the field has {}",
                        kernel.name, kernel.order, target.field->max_order());
  }
  if (kernel.adjustment == Adjustment::kExact && !target.log_density) {
    base::fail_argument(kWhere,
                        "kernel {} needs log p, which this target does not have; the line- kernels "
                        "do without",
                        kernel.name);
  }
  at::NoGradGuard no_grad;
  return evaluate(kernel, target, x);
}

Step step(const Kernel& kernel, const StepInput& input) {
  at::NoGradGuard no_grad;
  return kernel.step(kernel, input);
}

double default_step_size(const Kernel& kernel, double sigma) {
  if (!(sigma > 0)) {
    base::fail_argument("sampling::default_step_size",
                        "sigma must be > 0 for a step size to follow from it; got {}", sigma);
  }
  return (kernel.order == 1 ? 0.1 : 0.2) * sigma * sigma;
}

ChainState select_rows(const at::Tensor& mask, const ChainState& first, const ChainState& second) {
  const auto pick = [&](const at::Tensor& a, const at::Tensor& b) {
    if (!a.defined()) return at::Tensor();
    std::vector<int64_t> shape(static_cast<size_t>(a.dim()), 1);
    shape[0] = -1;
    return at::where(mask.view(shape), a, b);
  };
  ChainState state;
  state.x = pick(first.x, second.x);
  state.jet.s1 = pick(first.jet.s1, second.jet.s1);
  if (first.jet.s2) state.jet.s2 = linalg::select_rows(mask, *first.jet.s2, *second.jet.s2);
  state.log_density = pick(first.log_density, second.log_density);
  state.eigenvalues = pick(first.eigenvalues, second.eigenvalues);
  state.eigenvectors = pick(first.eigenvectors, second.eigenvectors);
  return state;
}

}  // namespace scorejet::sampling
