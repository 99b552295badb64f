#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>
#include <optional>

#include "reproduce/ess/ess.h"
#include "reproduce/ess/sampling_problems.h"
#include "reproduce/shared/fit.h"
#include "scorejet/chains.h"
#include "scorejet/diagnostics.h"
#include "src/base/noise.h"
#include "src/base/seed.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

// What every kernel is given. Chains start from exact draws of p_sigma, so that what is measured is
// mixing and bias, not the way there.
struct EssBudget {
  int64_t num_chains, evaluations;  // score evaluations of each chain at one setting
  int64_t coarse, fine;             // step sizes over the whole range, then around the best
};

EssBudget budget(const SamplingProblem& problem, bool fast) {
  if (fast) return {problem.num_chains / 2, problem.evaluations / 4, 6, 2};
  return {problem.num_chains, problem.evaluations, 8, 4};
}

struct EssSetting {
  double step_size = 0;
  int64_t leapfrog_steps = 16;  // of hmc
  int64_t line_panels = 1;      // of line-ozaki
};

// Everything that is the same for all kernels on a problem.
struct EssSetup {
  const SamplingProblem& problem;
  EssBudget budget;
  uint64_t seed;
  at::Tensor x0, reference;  // exact draws of p_sigma, [C, D] and [1000, D]
  at::Tensor mean, whiten;   // (x − mean) whiten has the identity as its covariance
  double tolerance = 0;      // the energy distance to a copy of p_sigma that is 10 % too wide
};

constexpr int64_t kReferenceDraws = 1000;
constexpr std::array<int64_t, 4> kLeapfrogSteps{4, 64, 8, 32};  // besides Setting's

at::Tensor exact_draws(const SamplingProblem& problem, int64_t count, uint64_t seed,
                       const char* stream) {
  at::Generator generator = base::make_generator(seed, stream);
  const at::Tensor x = problem.density->sample(count, generator).to(at::kDouble);
  return base::add_noise(x, problem.sigma, generator);
}

EssSetup make_arena(const SamplingProblem& problem, const EssBudget& budget, uint64_t seed) {
  EssSetup arena{problem, budget, seed, {}, {}, {}, {}};
  arena.x0 = exact_draws(problem, budget.num_chains, seed, "starts");
  const at::Tensor many = exact_draws(problem, 100000, seed, "whitening");
  arena.mean = many.mean(0);
  const auto [variances, axes] = at::linalg_eigh(at::cov(many.t()));
  arena.whiten = axes / variances.sqrt();
  const auto whitened = [&](const at::Tensor& x) {
    return at::matmul(x - arena.mean, arena.whiten);
  };
  arena.reference = whitened(exact_draws(problem, kReferenceDraws, seed, "reference"));
  // A fixed number of the density: from more draws than a chain's are judged by.
  const at::Tensor one = whitened(many.narrow(0, 0, 5000));
  const at::Tensor other = 1.1 * whitened(many.narrow(0, 5000, 5000));
  arena.tolerance = sampling::energy_distance(one, other).distance;
  return arena;
}

struct Score {
  EssSetting setting;
  double ess_per_1000 = 0, tail = 0, per_second = 0, bias = 0, rhat = 0, acceptance = 0;
  bool valid = false;  // no chain was stopped and the bias is within the tolerance
};

// The energy distance of the chains' law from p_sigma, averaged over times of the second half. At
// one time the chains are independent draws, so that the estimate is unbiased however slowly they
// mix.
double bias(const EssSetup& arena, const at::Tensor& draws) {
  constexpr int64_t kTimes = 16;
  const int64_t n = draws.size(1);
  double sum = 0;
  for (int64_t i = 1; i <= kTimes; ++i) {
    const at::Tensor x = draws.select(1, n / 2 + i * (n - n / 2) / kTimes - 1);
    sum += sampling::energy_distance(x, arena.reference).distance;
  }
  return sum / kTimes;
}

// The draws of those coordinates that mix most slowly, [C, N, 3 at most]: a full summary of all
// would take longer than the chains.
at::Tensor slowest(const at::Tensor& draws) {
  const at::Tensor time =
      sampling::autocorrelation(draws, draws.size(1) / 2).clamp_min(0).sum(1).nan_to_num(INFINITY);
  const auto index = std::get<1>(time.topk(std::min<int64_t>(3, draws.size(2))));
  return draws.index_select(2, index);
}

Score measure_chain(const EssSetup& arena, const score::ScoreField& field,
                    const sampling::Kernel& kernel, const EssSetting& setting,
                    at::ScalarType dtype) {
  const SamplingProblem& problem = arena.problem;
  const sampling::Target target{score::borrow(field), problem.sigma, problem.density};
  const sampling::KernelOptions kernel_options{
      .step_size = setting.step_size,
      .values = sampling::its_options(kernel,
                                      {{"leapfrog", static_cast<double>(setting.leapfrog_steps)},
                                       {"line-panels", static_cast<double>(setting.line_panels)}})};
  const int64_t per_step = sampling::evaluations_per_step(kernel, kernel_options);
  const sampling::ChainOptions options{.num_steps = arena.budget.evaluations / per_step,
                                       .seed = arena.seed};
  const auto begin = std::chrono::steady_clock::now();
  const sampling::ChainResult result =
      sampling::run_chains(target, kernel, arena.x0.to(dtype), kernel_options, options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

  Score score;
  score.setting = setting;
  if ((result.chains.stopped_at >= 0).any().item<bool>()) return score;
  const at::Tensor draws = at::matmul(
      result.positions.narrow(1, 1, options.num_steps).to(at::kDouble) - arena.mean, arena.whiten);
  const sampling::ChainSummary summary = sampling::summarise(slowest(draws));
  const double thousands =
      static_cast<double>(arena.budget.num_chains * options.num_steps * per_step) / 1000;
  const double least = summary.ess_bulk.min().item<double>();
  if (!std::isfinite(least)) return score;
  score.ess_per_1000 = least / thousands;
  score.tail = summary.ess_tail.min().item<double>() / thousands;
  score.per_second = least / seconds.count();
  score.rhat = summary.rhat.max().item<double>();
  score.bias = bias(arena, draws);
  score.valid = score.bias <= arena.tolerance;
  const at::Tensor acceptance = result.acceptance();
  score.acceptance = acceptance.defined() ? acceptance.mean().item<double>() : NAN;
  return score;
}

bool better(const Score& a, const Score& b) {
  return a.valid && (!b.valid || a.ess_per_1000 > b.ess_per_1000);
}

// The best of `coarse` step sizes over the whole range and `fine` more around the best of those;
// where a kernel has leapfrog steps the second part of the budget goes to their number.
Score tune(const EssSetup& arena, const score::ScoreField& field, const sampling::Kernel& kernel,
           int64_t line_panels, at::ScalarType dtype) {
  const double low = std::log(arena.problem.smallest_step);
  const double high = std::log(arena.problem.largest_step);
  const double gap = (high - low) / static_cast<double>(arena.budget.coarse - 1);
  Score best;
  const auto try_setting = [&](EssSetting setting) {
    setting.line_panels = line_panels;
    const Score score = measure_chain(arena, field, kernel, setting, dtype);
    if (better(score, best)) best = score;
  };
  for (int64_t i = 0; i < arena.budget.coarse; ++i) {
    try_setting({.step_size = std::exp(low + gap * static_cast<double>(i))});
  }
  if (!best.valid) return best;
  const double centre = best.setting.step_size;
  for (int64_t i = 0; i < arena.budget.fine; ++i) {
    if (sampling::has_option(kernel, "leapfrog")) {
      try_setting({.step_size = centre, .leapfrog_steps = kLeapfrogSteps[static_cast<size_t>(i)]});
    } else {
      const double share = static_cast<double>(i + 1) / static_cast<double>(arena.budget.fine + 1);
      try_setting({.step_size = centre * std::exp(gap * (2 * share - 1))});
    }
  }
  return best;
}

// `name` is the kernel's in the table.
Json describe_score(const EssSetup& arena, const char* scores, const char* name,
                    const sampling::Kernel& kernel, const Score& score) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(); };
  const auto if_valid = [&](double value) { return score.valid ? number(value) : Json(); };
  return {{"problem", arena.problem.name},
          {"scores", scores},
          {"kernel", name},
          {"step_size", if_valid(score.setting.step_size)},
          {"leapfrog_steps",
           sampling::has_option(kernel, "leapfrog") ? Json(score.setting.leapfrog_steps) : Json()},
          {"ess_per_1000", if_valid(score.ess_per_1000)},
          {"tail_ess_per_1000", if_valid(score.tail)},
          {"ess_per_second", if_valid(score.per_second)},
          {"bias", if_valid(score.bias)},
          {"tolerated_bias", arena.tolerance},
          {"rhat", if_valid(score.rhat)},
          {"acceptance", if_valid(score.acceptance)}};
}

struct EssMethod {
  const char* scores;  // "exact", or the structure of the learned s2
  std::vector<const char*> kernels;
};
constexpr int64_t kLinePanels = 4;  // of "line-ozaki-4"

// Kernels of one method share its training.
const std::vector<EssMethod>& score_methods() {
  static const std::vector<EssMethod> list{
      {"exact", {"langevin"}},
      {"exact", {"mala"}},
      {"exact", {"hmc"}},
      {"exact", {"ozaki"}},
      {"exact", {"metropolis-ozaki"}},
      {"full", {"langevin", "ozaki", "line-ozaki", "line-ozaki-4", "metropolis-ozaki"}},
      {"low_rank", {"ozaki"}}};
  return list;
}

// Nothing where the training diverged.
std::optional<Fit> learn(const SamplingProblem& problem, nets::Structure hessian, bool fast,
                         uint64_t seed) {
  FitOptions options;
  options.model.network.s2 = hessian;
  options.model.network.rank = problem.rank;
  options.model.network.mlp.width = problem.width;
  options.model.network.mlp.depth = problem.depth;
  options.sigma = problem.sigma;
  options.steps = fast ? problem.steps / 3 : problem.steps;
  options.batch = problem.batch;
  options.learning_rate = problem.rate;
  options.seed = seed;
  if (problem.heavy_tails) {
    options.model.scale = models::OutputScale::kNoise;
    options.loss.clip_norm = 10;
  }
  try {
    return fit(*problem.density, options);
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "scorejet: note: {} is left out: {}\n", problem.name, error.what());
    return std::nullopt;
  }
}

Json run_method(const std::string& problem_name, const EssMethod& method, bool fast,
                uint64_t seed) {
  const SamplingProblem problem = make_sampling_problem(problem_name);
  const EssSetup arena = make_arena(problem, budget(problem, fast), seed);
  const std::string scores = method.scores;
  const bool exact = scores == "exact";
  const score::ScoreField* field = problem.density.get();
  std::optional<Fit> learned;
  if (!exact) {
    learned = learn(problem, scores == "full" ? nets::Structure::kFull : nets::Structure::kLowRank,
                    fast, seed);
    field = learned ? learned->model.get() : nullptr;
  }
  Json rows = Json::array();
  for (const char* name : method.kernels) {
    const bool pieces = std::string(name) == "line-ozaki-4";
    const sampling::Kernel& kernel = sampling::find_kernel(pieces ? "line-ozaki" : name);
    Score best;
    if (field != nullptr) {
      best =
          tune(arena, *field, kernel, pieces ? kLinePanels : 1, exact ? at::kDouble : at::kFloat);
    }
    rows.push_back(describe_score(arena, method.scores, name, kernel, best));
  }
  return rows;
}

}  // namespace

std::vector<Task> ess_tasks(const ReproduceOptions& options) {
  std::vector<Task> tasks;
  for (int64_t seed = 0; seed < options.seeds; ++seed) {
    for (const std::string& problem : sampling_problem_names()) {
      for (const EssMethod& method : score_methods()) {
        std::string key = fmt::format("ess {} {} seed {}{}", problem, method.scores, seed,
                                      options.fast ? " fast" : "");
        for (const char* kernel : method.kernels) key.append(fmt::format(" {}", kernel));
        tasks.push_back({key, [=, &method, fast = options.fast] {
                           return run_method(problem, method, fast, static_cast<uint64_t>(seed));
                         }});
      }
    }
  }
  return tasks;
}

}  // namespace scorejet::reproduce
