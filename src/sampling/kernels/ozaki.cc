// Ozaki's transition: that of the diffusion with its drift linearised at x, H = s2(x).
//
// x' = x + ε φ₁(εH) s1 + (2ε φ₁(2εH))^{1/2} z, φ₁(t) = (eᵗ − 1)/t (Ozaki 1992): exact for every ε
// on a Gaussian, Langevin as ε → 0. Dense, diagonal and low-rank H; never an inverse. Where H has
// an eigenvalue λ > max-growth/ε the linearised flow would explode: ελ is taken as max-growth there
// (2 max-growth in the noise) and the chain is counted in StepInfo::bounded.
#include <ATen/ATen.h>

#include <limits>

#include "src/linalg/matrix_function.h"
#include "src/linalg/small_eigh.h"
#include "src/sampling/kernels/moves.h"

namespace scorejet::sampling {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();
constexpr KernelOption kMaxGrowth{
    .name = "max-growth",
    .value = 1,
    .least = 0,
    .most = kUnbounded,
    .integer = false,
    .help =
        "ozaki: bound on ε λ of positive curvature λ; steps at which it is in force are counted",
    .expert = true};
constexpr KernelOption kTolerance{.name = "tolerance",
                                  .value = 1e-5,
                                  .least = 0,
                                  .most = 1,
                                  .integer = false,
                                  .help = "ozaki, low rank: relative error at which Lanczos stops",
                                  .expert = true};

// Along an eigenvector of eigenvalue λ, ελ held at max_growth; the tensors broadcast.
at::Tensor ozaki_drift(const at::Tensor& lambda, const at::Tensor& epsilon, double max_growth) {
  return epsilon * linalg::phi1((epsilon * lambda).clamp_max(max_growth));
}

at::Tensor ozaki_variance(const at::Tensor& lambda, const at::Tensor& epsilon, double max_growth) {
  return 2 * epsilon * linalg::phi1((2 * epsilon * lambda).clamp_max(2 * max_growth));
}

Step ozaki_with(const Kernel& kernel, const StepInput& input, const linalg::SymmetricOperator& h) {
  const at::Tensor z = input.noise.normal(input.state.x.size(1), input.state.x.options());
  const at::Tensor epsilon = input.step_size.unsqueeze(-1);  // [C, 1]
  const double bound = option_value(kernel, input.options, "max-growth");
  const auto drift = [&](const at::Tensor& lambda) { return ozaki_drift(lambda, epsilon, bound); };
  const auto root = [&](const at::Tensor& lambda) {
    return ozaki_variance(lambda, epsilon, bound).sqrt();
  };
  const linalg::MatrixFunctionResult result =
      linalg::apply_functions(h, {drift, root}, at::stack({input.state.jet.s1, z}, -1),
                              {.tolerance = option_value(kernel, input.options, "tolerance")});
  StepInfo info;
  info.bounded = input.step_size * result.eigen_max > bound;
  info.krylov_steps = result.steps;
  info.krylov_error = result.error;
  return move(kernel, input, input.state.x + result.values.sum(-1), std::move(info));
}

Step ozaki_step(const Kernel& kernel, const StepInput& input) {
  return ozaki_with(kernel, input, *input.state.jet.s2);
}

Step ozaki_diagonal_step(const Kernel& kernel, const StepInput& input) {
  return ozaki_with(kernel, input,
                    linalg::SymmetricOperator::from_diagonal(input.state.jet.s2->diagonal()));
}

// "eigenvalues" [C, D] and, where H is not diagonal, "eigenvectors" [C, D, D].
void derive_diagonal(ChainState& state) { state.derived["eigenvalues"] = state.jet.s2->diagonal(); }

void derive_spectrum(ChainState& state) {
  const linalg::SymmetricOperator& h = *state.jet.s2;
  if (h.structure() == linalg::Structure::kDiagonal) return derive_diagonal(state);
  // A row that is not finite is rejected later; eigh must not see it.
  const at::Tensor good = linalg::finite_rows(h).view({-1, 1, 1});
  const at::Tensor matrix = h.dense();
  std::tie(state.derived["eigenvalues"], state.derived["eigenvectors"]) =
      linalg::small_eigh(at::where(good, matrix, at::zeros_like(matrix)));
}

Gaussian ozaki_proposal(const Kernel& kernel, const ChainState& state, const at::Tensor& step_size,
                        const KernelOptions& options) {
  const double bound = option_value(kernel, options, "max-growth");
  const at::Tensor epsilon = step_size.unsqueeze(-1);
  const at::Tensor& eigenvalues = state.derived.at("eigenvalues");
  const auto found = state.derived.find("eigenvectors");
  Gaussian result;
  if (found != state.derived.end()) result.vectors = found->second;
  const at::Tensor drift =
      ozaki_drift(eigenvalues, epsilon, bound) * rotate(result.vectors, state.jet.s1, true);
  result.mean = state.x + rotate(result.vectors, drift, false);
  result.variance = ozaki_variance(eigenvalues, epsilon, bound);
  result.bounded = step_size * eigenvalues.amax(-1) > bound;
  return result;
}

Kernel adjusted_ozaki(const char* name, const char* law, Adjustment adjustment, bool diagonal) {
  Kernel kernel{.name = name,
                .law = law,
                .order = 2,
                .adjustment = adjustment,
                .exactness = Exactness::kAlways,
                .target_acceptance = 0.7,
                .takes_eigenvectors = !diagonal,
                .options = {kMaxGrowth},
                .step = metropolis,
                .propose = ozaki_proposal,
                .derive = diagonal ? derive_diagonal : derive_spectrum};
  if (adjustment == Adjustment::kLine) {
    kernel.exactness = Exactness::kLine;
    kernel.options.push_back(line_panels_option());
    kernel.evaluations = "line-panels";
  }
  return kernel;
}

}  // namespace

Kernel ozaki_kernel() {
  return {.name = "ozaki",
          .law = "the exact transition of the diffusion linearised at x, by matrix functions of s2",
          .order = 2,
          .exactness = Exactness::kGaussians,
          .options = {kMaxGrowth, kTolerance},
          .step = ozaki_step};
}

Kernel ozaki_diagonal_kernel() {
  return {.name = "ozaki-diagonal",
          .law = "ozaki with the diagonal of s2 alone, O(D)",
          .order = 2,
          .exactness = Exactness::kDiagonal,
          .options = {kMaxGrowth, kTolerance},
          .step = ozaki_diagonal_step};
}

Kernel metropolis_ozaki_kernel() {
  return adjusted_ozaki("metropolis-ozaki",
                        "ozaki as a proposal, accepted by Metropolis and Hastings with log p: "
                        "exact; takes the eigenvectors of s2, O(D³)",
                        Adjustment::kExact, false);
}

Kernel metropolis_ozaki_diagonal_kernel() {
  return adjusted_ozaki("metropolis-ozaki-diagonal",
                        "ozaki-diagonal as a proposal, accepted with log p: exact",
                        Adjustment::kExact, true);
}

Kernel line_ozaki_kernel() {
  return adjusted_ozaki("line-ozaki",
                        "metropolis-ozaki where log p is not known: its difference by the line "
                        "integral of s1 and s2",
                        Adjustment::kLine, false);
}

Kernel line_ozaki_diagonal_kernel() {
  return adjusted_ozaki("line-ozaki-diagonal",
                        "metropolis-ozaki-diagonal with the line integral of s1 and s2 for log p",
                        Adjustment::kLine, true);
}

}  // namespace scorejet::sampling
