#include "scorejet/chains.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <map>

#include "src/base/check.h"
#include "src/sampling/noise.h"

namespace scorejet::sampling {
namespace {

constexpr double kRunawayFactor = 1e4;

// The last coordinate-wise size of each chain, on the CPU.
at::Tensor size_of(const at::Tensor& x) { return x.abs().amax(-1).to(at::kCPU, at::kDouble); }

}  // namespace

at::Tensor ChainResult::acceptance() const {
  if (!chains.acceptance_sum.defined()) return {};
  return chains.acceptance_sum / static_cast<double>(steps[-1].item<int64_t>());
}

Chains start_chains(const Target& target, const Kernel& kernel, const at::Tensor& x0,
                    const KernelOptions& kernel_options, uint64_t seed) {
  constexpr const char* kWhere = "sampling::start_chains";
  check_options(kernel, kernel_options);
  Chains chains;
  chains.state = init(kernel, target, x0, seed);
  base::check_finite(kWhere, "the score at the start", chains.state.jet.s1);
  const int64_t num_chains = x0.size(0);
  chains.num_evaluations = num_chains;
  const at::TensorOptions options(at::kDouble);
  chains.adaptation =
      DualAveraging::start(at::full({num_chains}, kernel_options.step_size, options));
  chains.reach = kRunawayFactor * (1 + size_of(x0));
  chains.stopped_at = at::full({num_chains}, -1, at::TensorOptions(at::kLong));
  chains.stop_reason = at::zeros_like(chains.stopped_at);
  if (kernel.adjustment != Adjustment::kNone) {
    chains.acceptance_sum = at::zeros({num_chains}, options);
  }
  return chains;
}

void advance(const Target& target, const Kernel& kernel, const KernelOptions& kernel_options,
             const ChainOptions& options, Chains& chains) {
  ++chains.step;
  const int64_t num_chains = chains.stopped_at.size(0);
  const bool warming = chains.step <= options.warmup;
  const Noise noise(options.seed, num_chains, chains.step);
  const at::Tensor step_size = chains.adaptation.step_size.to(chains.state.x.options());
  Step next = step(kernel, {target, chains.state, step_size, noise, kernel_options});
  const StepInfo& info = next.info;
  const at::Tensor running = chains.stopped_at < 0;  // before this step
  chains.num_evaluations += info.num_evaluations * running.sum().item<int64_t>();
  if (info.bounded.defined()) {
    chains.num_bounded += info.bounded.cpu().logical_and(running).sum().item<int64_t>();
  }
  chains.max_krylov_steps = std::max(chains.max_krylov_steps, info.krylov_steps);
  if (info.acceptance.defined()) {
    const at::Tensor acceptance = info.acceptance.to(at::kCPU, at::kDouble);
    if (warming) chains.adaptation.update(acceptance, kernel.target_acceptance);
    if (!warming) chains.acceptance_sum += acceptance;
  }
  if (chains.step == options.warmup) chains.adaptation.finish();

  at::Tensor fault = info.fault.defined() ? info.fault.cpu() : at::zeros_like(chains.stop_reason);
  const at::Tensor runaway = (size_of(next.state.x) > chains.reach).logical_and(fault == 0);
  fault = fault.masked_fill(runaway, static_cast<int64_t>(Fault::kRunaway));
  const at::Tensor stopped = (fault != 0).logical_and(running);
  chains.stopped_at.masked_fill_(stopped, chains.step);
  chains.stop_reason = at::where(stopped, fault, chains.stop_reason);
  const at::Tensor moving = (chains.stopped_at < 0).to(chains.state.x.device());
  chains.state = select_rows(moving, next.state, chains.state);
}

void check_counts(const ChainOptions& options) {
  if (options.num_steps < 1 || options.thin < 1 || options.warmup < 0) {
    base::fail_argument("sampling::run_chains",
                        "num_steps and thin must be at least 1 and warmup at least 0; got {}, {} "
                        "and {}",
                        options.num_steps, options.thin, options.warmup);
  }
}

bool is_kept(const ChainOptions& options, int64_t step) {
  return step >= options.warmup && (step - options.warmup) % options.thin == 0;
}

ChainResult run_chains(const Target& target, const Kernel& kernel, const at::Tensor& x0,
                       const KernelOptions& kernel_options, const ChainOptions& options,
                       const std::function<void(const Chains&)>& observe) {
  check_counts(options);
  ChainResult result;
  result.chains = start_chains(target, kernel, x0, kernel_options, options.seed);
  std::vector<at::Tensor> kept;
  std::vector<int64_t> steps;
  for (;;) {
    if (is_kept(options, result.chains.step)) {
      kept.push_back(result.chains.state.x.clone());
      steps.push_back(result.chains.step - options.warmup);
    }
    if (result.chains.step == options.warmup + options.num_steps) break;
    try {
      advance(target, kernel, kernel_options, options, result.chains);
    } catch (...) {  // a field may be stopped in the middle of an evaluation
      if (kept.empty() || !options.stop || !options.stop()) throw;
      break;
    }
    if (observe) observe(result.chains);
    if (options.stop && options.stop()) break;
  }
  if (kept.empty()) {  // stopped in the warm-up: where it was then
    kept.push_back(result.chains.state.x.clone());
    steps.push_back(result.chains.step - options.warmup);
  }
  result.positions = at::stack(kept, 1);
  result.steps = at::tensor(steps, at::TensorOptions(at::kLong));
  return result;
}

std::string describe_stopped(const Chains& chains) {
  std::map<int64_t, std::vector<std::string>> reasons;
  for (int64_t c = 0; c < chains.stopped_at.size(0); ++c) {
    const auto at_step = chains.stopped_at[c].item<int64_t>();
    if (at_step < 0) continue;
    reasons[chains.stop_reason[c].item<int64_t>()].push_back(
        fmt::format("{} at step {}", c, at_step));
  }
  std::vector<std::string> parts;
  for (auto& [reason, list] : reasons) {
    const size_t count = list.size();
    if (count > 5) list.resize(5);
    parts.push_back(
        fmt::format("{}: {} of {} chains ({}{})", fault_name(static_cast<Fault>(reason)), count,
                    chains.stopped_at.size(0), fmt::join(list, ", "), count > 5 ? ", ..." : ""));
  }
  return parts.empty() ? "" : fmt::format("stopped: {}", fmt::join(parts, "; "));
}

}  // namespace scorejet::sampling
