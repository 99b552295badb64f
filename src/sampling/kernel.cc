#include "scorejet/kernel.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>

#include "src/base/check.h"
#include "src/sampling/kernels/moves.h"
#include "src/sampling/noise.h"

namespace scorejet::sampling {

at::Tensor Target::log_density(const at::Tensor& x) const {
  return log_source().log_density(x, at::full({}, sigma, x.options()));
}

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

const Kernel& find_kernel(const std::string& name) {
  std::vector<std::string> names;
  for (const Kernel& kernel : kernels()) {
    if (name == kernel.name) return kernel;
    names.push_back(kernel.name);
  }
  base::fail_argument("sampling::find_kernel", "kernel must be one of {}; got \"{}\" (nearest: {})",
                      fmt::join(names, ", "), name, base::nearest(name, names));
}

bool has_option(const Kernel& kernel, const std::string& name) {
  for (const KernelOption& option : kernel.options) {
    if (name == option.name) return true;
  }
  return false;
}

double option_value(const Kernel& kernel, const KernelOptions& options, const char* name) {
  const auto given = options.values.find(name);
  if (given != options.values.end()) return given->second;
  for (const KernelOption& option : kernel.options) {
    if (std::string(name) == option.name) return option.value;
  }
  base::fail_argument("sampling::option_value", "kernel {} must have an option {}; it has none",
                      kernel.name, name);
}

std::map<std::string, double> its_options(const Kernel& kernel,
                                          const std::map<std::string, double>& values) {
  std::map<std::string, double> result;
  for (const auto& [name, value] : values) {
    if (has_option(kernel, name)) result.emplace(name, value);
  }
  return result;
}

void check_options(const Kernel& kernel, const KernelOptions& options) {
  constexpr const char* kWhere = "sampling::check_options";
  base::check_positive(kWhere, "step_size", options.step_size);
  for (const auto& [name, value] : options.values) {
    if (!has_option(kernel, name)) {
      std::vector<std::string> names;
      for (const KernelOption& option : kernel.options) names.emplace_back(option.name);
      base::fail_argument(kWhere, "options of kernel {} must be among [{}]; got {}", kernel.name,
                          fmt::join(names, ", "), name);
    }
  }
  for (const KernelOption& option : kernel.options) {
    const double value = option_value(kernel, options, option.name);
    const bool whole = !option.integer || value == std::floor(value);
    if (value >= option.least && value <= option.most && whole) continue;
    base::fail_argument(kWhere, "{} of kernel {} must be {}{}; got {}", option.name, kernel.name,
                        option.integer ? "an integer and " : "",
                        std::isinf(option.most)
                            ? fmt::format("at least {}", option.least)
                            : fmt::format("from {} to {}", option.least, option.most),
                        value);
  }
}

int64_t evaluations_per_step(const Kernel& kernel, const KernelOptions& options) {
  if (kernel.evaluations == nullptr) return 1;
  return std::llround(option_value(kernel, options, kernel.evaluations));
}

ChainState init(const Kernel& kernel, const Target& target, const at::Tensor& x, uint64_t seed) {
  constexpr const char* kWhere = "sampling::init";
  base::check_shape(kWhere, "x", x, {-1, target.field->dim()});
  base::check_finite(kWhere, "x", x);
  if (kernel.order > target.field->max_order()) {
    base::fail_argument(kWhere, "kernel {} needs a score of order {}; the field has {}",
                        kernel.name, kernel.order, target.field->max_order());
  }
  if (kernel.adjustment == Adjustment::kExact && !target.has_log_density()) {
    base::fail_argument(kWhere,
                        "kernel {} needs log p, which this target does not have; the line- kernels "
                        "do without",
                        kernel.name);
  }
  at::NoGradGuard no_grad;
  ChainState state = state_at(kernel, target, x);
  if (kernel.begin != nullptr) kernel.begin(state, Noise(seed, x.size(0), 0));
  return state;
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
  const auto pick_all = [&](const NamedTensors& a, const NamedTensors& b) {
    NamedTensors result;
    for (const auto& [name, tensor] : a) result.emplace(name, pick(tensor, b.at(name)));
    return result;
  };
  ChainState state;
  state.x = pick(first.x, second.x);
  state.jet.s1 = pick(first.jet.s1, second.jet.s1);
  if (first.jet.s2) state.jet.s2 = linalg::select_rows(mask, *first.jet.s2, *second.jet.s2);
  state.log_density = pick(first.log_density, second.log_density);
  state.derived = pick_all(first.derived, second.derived);
  state.carry = pick_all(first.carry, second.carry);
  return state;
}

}  // namespace scorejet::sampling
