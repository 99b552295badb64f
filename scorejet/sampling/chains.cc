#include "scorejet/sampling/chains.h"

#include <ATen/ATen.h>

#include "scorejet/base/check.h"
#include "scorejet/base/seed.h"

namespace scorejet::sampling {

ChainResult run_chains(const score::ScoreField& field, const Kernel& kernel, const at::Tensor& x0,
                       const KernelOptions& kernel_options, const ChainOptions& options,
                       const std::function<void(int64_t)>& progress) {
  constexpr const char* kWhere = "sampling::run_chains";
  base::check_shape(kWhere, "x0", x0, {-1, field.dim()});
  base::check_finite(kWhere, "x0", x0);
  base::check_positive(kWhere, "step_size", kernel_options.step_size);
  if (options.num_steps < 1 || options.thin < 1) {
    base::fail_argument(kWhere, "num_steps and thin must be at least 1; got {} and {}",
                        options.num_steps, options.thin);
  }
  if (kernel.order > field.max_order()) {
    base::fail_argument(kWhere, "kernel {} needs a score of order {}; the field has {}",
                        kernel.name, kernel.order, field.max_order());
  }
  at::NoGradGuard no_grad;
  const int64_t num_chains = x0.size(0);
  std::vector<at::Generator> generators;
  for (int64_t c = 0; c < num_chains; ++c) {
    generators.push_back(base::make_generator(options.seed, "chain", static_cast<uint64_t>(c)));
  }
  const at::TensorOptions noise_options(x0.scalar_type());

  ChainResult result;
  result.diverged_at = at::full({num_chains}, -1, at::TensorOptions(at::kLong));
  std::vector<at::Tensor> kept{x0.clone()};
  std::vector<int64_t> kept_steps{0};
  ChainState state{x0, {}};
  for (int64_t t = 1; t <= options.num_steps; ++t) {
    state.jet = field.evaluate(state.x, kernel_options.sigma, kernel.order);
    result.num_evaluations += num_chains;
    std::vector<at::Tensor> rows;
    for (at::Generator& generator : generators) {
      rows.push_back(at::randn({x0.size(1)}, generator, noise_options));
    }
    const Step step = kernel.step(state, at::stack(rows).to(x0.device()), kernel_options);
    if (step.info.bounded.defined()) {
      result.num_bounded += step.info.bounded.sum().item<int64_t>();
    }
    result.max_krylov_steps = std::max(result.max_krylov_steps, step.info.krylov_steps);

    const at::Tensor finite = at::isfinite(step.x).all(-1);
    const at::Tensor lost = finite.logical_not().cpu().logical_and(result.diverged_at < 0);
    result.diverged_at.masked_fill_(lost, t);
    const at::Tensor frozen = (result.diverged_at >= 0).to(x0.device()).unsqueeze(-1);
    state.x = at::where(frozen, state.x, step.x);
    if (t % options.thin == 0) {
      kept.push_back(state.x.clone());
      kept_steps.push_back(t);
    }
    if (progress) progress(t);
  }
  result.positions = at::stack(kept, 1);
  result.steps = at::tensor(kept_steps, at::TensorOptions(at::kLong));
  return result;
}

}  // namespace scorejet::sampling
