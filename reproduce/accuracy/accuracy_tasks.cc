#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/autograd.h>

#include <algorithm>

#include "reproduce/accuracy/accuracy.h"
#include "reproduce/accuracy/problems.h"
#include "reproduce/shared/fit.h"
#include "scorejet/autodiff_field.h"
#include "src/base/noise.h"
#include "src/base/seed.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;
using nets::Structure;
using objectives::Form;

// What every method is given on a problem, and the structures that s2 can have there.
struct Budget {
  const char* problem;
  int64_t steps, batch, width;
  double rate;
  std::vector<int64_t> ranks;  // of diag(a) + BBᵀ; kFull, kDiagonal: those structures
};
constexpr int64_t kDiagonal = 0, kFull = -1;

std::vector<Budget> budgets(bool fast) {
  if (fast) {
    return {{"normal", 400, 256, 256, 6e-3, {30}},
            {"logistic", 400, 256, 256, 4e-3, {kDiagonal}},
            {"mixture", 400, 256, 256, 4e-3, {kFull}},
            {"eight", 400, 1024, 128, 4e-3, {kFull}}};
  }
  return {{"normal", 1000, 256, 256, 6e-3, {15, 20, 30}},
          {"logistic", 2000, 256, 256, 4e-3, {kDiagonal}},
          {"mixture", 1000, 256, 256, 4e-3, {15, 20, kFull}},
          {"eight", 1000, 1024, 128, 4e-3, {kFull}}};
}

std::vector<double> sigmas(bool fast) {
  return fast ? std::vector<double>{0.01, 0.1} : std::vector<double>{0.01, 0.05, 0.1, 0.5};
}

struct Method {
  const char* name;
  Form form = Form::kCentred;
  models::Parameterisation parameterisation = models::Parameterisation::kPsd;
  bool variance_reduction = true;
  bool direct = true;  // learns s2; else s1 only, differentiated
};

const std::vector<Method>& methods() {
  static const std::vector<Method> list{
      {"autodiff_dsm", Form::kCentred, models::Parameterisation::kPsd, false, false},
      {"autodiff_dsm_vr", Form::kCentred, models::Parameterisation::kPsd, true, false},
      {"product", Form::kProduct, models::Parameterisation::kFree},
      {"centred"},
      {"sketch", Form::kSketch}};
  return list;
}

// The sketch, reported beside the others, is run with the largest structure only.
std::vector<int64_t> structures(const Budget& budget, const Method& method) {
  if (!method.direct) return {kDiagonal};
  if (method.form == Form::kSketch) return {budget.ranks.back()};
  return budget.ranks;
}

Json rank_name(int64_t rank) {
  return rank == kFull ? Json("full") : rank == kDiagonal ? Json("diagonal") : Json(rank);
}

// Fresh noisy points with the exact scores there, a piece at a time.
class Evaluation {
 public:
  Evaluation(const Problem& problem, double sigma, int64_t count)
      : problem_(problem), sigma_(sigma) {
    const at::Tensor clean = problem.density->sample(count, base::make_generator(1, "test points"));
    points_ = base::add_noise(clean, sigma, base::make_generator(1, "test noise"));
  }

  // Calls use(x as float32, exact jet) on pieces of the points.
  template <typename F>
  void for_each(int order, F use) const {
    constexpr int64_t kPiece = 500;
    for (int64_t first = 0; first < points_.size(0); first += kPiece) {
      const at::Tensor x =
          points_.narrow(0, first, std::min(kPiece, points_.size(0) - first)).to(at::kFloat);
      use(x, problem_.density->evaluate(x.to(at::kDouble), sigma_, order));
    }
  }
  double count() const { return static_cast<double>(points_.size(0)); }

 private:
  const Problem& problem_;
  double sigma_;
  at::Tensor points_;
};

double total(const at::Tensor& x) { return x.to(at::kDouble).square().sum().item<double>(); }

// How many of the covariances σ²I + σ⁴ s2 are not positive definite, in float64.
double count_not_positive(const linalg::SymmetricOperator& s2, double sigma) {
  const at::Tensor relative = at::eye(s2.dim(), at::kDouble) +
                              sigma * sigma * s2.dense().to(at::kDouble);  // covariance / σ²
  const at::Tensor info = std::get<1>(at::linalg_cholesky_ex(relative));
  return (info != 0).sum().item<double>();
}

Json evaluate_second(const Fit& fit, const Problem& problem, double sigma, bool direct,
                     int64_t count) {
  at::NoGradGuard no_grad;
  const score::AutodiffField autodiff(*fit.model);
  const Evaluation evaluation(problem, sigma, count);
  double error = 0, zero = 0, first = 0, not_positive = 0;
  evaluation.for_each(2, [&](const at::Tensor& x, const score::Jet& exact) {
    const score::Jet jet =
        direct ? fit.model->evaluate(x, sigma, 2) : autodiff.evaluate(x, at::full({}, sigma), 2);
    first += total(jet.s1 - exact.s1);
    if (problem.diagonal) {
      error += total(jet.s2->diagonal() - exact.s2->diagonal());
      zero += total(exact.s2->diagonal());
      const auto diagonal = linalg::SymmetricOperator::from_diagonal(jet.s2->diagonal());
      not_positive += count_not_positive(diagonal, sigma);
    } else {
      error += total(jet.s2->dense() - exact.s2->dense());
      zero += total(exact.s2->dense());
      not_positive += count_not_positive(*jet.s2, sigma);
    }
  });
  const double n = evaluation.count();
  return {{"error", error / n},
          {"zero_error", zero / n},
          {"s1_error", first / n},
          {"not_positive", not_positive / n},
          {"train_seconds", fit.seconds}};
}

// ∂s2_ii/∂x_i of a model with a diagonal s2: what its autodiff has to say of s3_iii. [B, D]
at::Tensor diagonal_derivative(const models::ScoreModel& model, const at::Tensor& x, double sigma) {
  at::AutoGradMode enabled(true);
  const at::Tensor leaf = x.detach().requires_grad_();
  const at::Tensor diagonal = model.evaluate(leaf, sigma, 2).s2->diagonal();
  std::vector<at::Tensor> columns;
  for (int64_t i = 0; i < x.size(1); ++i) {
    const at::Tensor gradient =
        torch::autograd::grad({diagonal.select(1, i).sum()}, {leaf}, {}, true)[0];
    columns.push_back(gradient.select(1, i));
  }
  return at::stack(columns, 1).to(at::kDouble);
}

// Of s3 as learned and as the derivative of the learned s2, on the same points.
Json evaluate_third(const Fit& fit, const Problem& problem, double sigma, int64_t count) {
  at::NoGradGuard no_grad;
  const Evaluation evaluation(problem, sigma, count);
  double error = 0, autodiff = 0, first = 0;
  std::vector<at::Tensor> sizes;                              // ‖s3‖², a point each
  const auto part = [&](const linalg::SymmetricTensor& s3) {  // what is judged, [B, ...]
    return (problem.diagonal ? s3.diagonal() : s3.dense()).to(at::kDouble);
  };
  evaluation.for_each(3, [&](const at::Tensor& x, const score::Jet& exact) {
    const score::Jet jet = fit.model->evaluate(x, sigma, 3);
    const at::Tensor truth = part(*exact.s3);
    const auto derivative = [&] {  // dense D³ would not fit where only the diagonal is judged
      return problem.diagonal ? diagonal_derivative(*fit.model, x, sigma)
                              : part(score::third_by_autodiff(*fit.model, x, at::full({}, sigma)));
    };
    first += total(jet.s1 - exact.s1);
    error += total(part(*jet.s3) - truth);
    autodiff += total(derivative() - truth);
    sizes.push_back(truth.flatten(1).square().sum(-1));
  });
  const double n = evaluation.count();
  const at::Tensor sorted = std::get<0>(at::cat(sizes).sort(0, /*descending=*/true));
  const double zero = sorted.sum().item<double>();
  const int64_t rare = std::max<int64_t>(sorted.size(0) / 1000, 1);
  return {{"error", error / n},
          {"zero_error", zero / n},
          {"s1_error", first / n},
          {"autodiff_error", autodiff / n},
          {"rare_share", sorted.narrow(0, 0, rare).sum().item<double>() / zero},
          {"train_seconds", fit.seconds}};
}

int64_t num_points(const ReproduceOptions& options) { return options.fast ? 2000 : 10000; }

FitOptions fit_options(const Budget& budget, const Method& method, int64_t rank, double sigma,
                       int64_t seed) {
  FitOptions o;
  o.model.parameterisation = method.parameterisation;
  o.model.network.mlp.width = budget.width;
  o.model.network.s2 = !method.direct      ? Structure::kNone
                       : rank == kDiagonal ? Structure::kDiagonal
                       : rank == kFull     ? Structure::kFull
                                           : Structure::kLowRank;
  o.model.network.rank = rank > 0 ? rank : 1;
  o.loss.form = method.form;
  o.loss.variance_reduction = method.variance_reduction;
  o.sigma = sigma;
  o.steps = budget.steps;
  o.batch = budget.batch;
  o.learning_rate = budget.rate;
  o.seed = static_cast<uint64_t>(seed);
  return o;
}

AccuracyTask second_order_task(const Budget& budget, const Method& method, int64_t rank,
                               double sigma, int64_t seed, int64_t first_steps, int64_t points) {
  AccuracyTask task;
  task.row = {{"problem", budget.problem},
              {"sigma", sigma},
              {"method", method.name},
              {"rank", method.direct ? rank_name(rank) : Json()}};
  FitOptions options = fit_options(budget, method, rank, sigma, seed);
  options.first_steps = first_steps;
  task.task.key = fmt::format(
      "{} seed {} steps {} batch {} width {} rate {} first_steps {} points {}", task.row.dump(),
      seed, budget.steps, budget.batch, budget.width, budget.rate, first_steps, points);
  task.task.run = [=, name = std::string(budget.problem), direct = method.direct] {
    const Problem problem = make_problem(name);
    return evaluate_second(fit(*problem.density, options), problem, sigma, direct, points);
  };
  return task;
}

}  // namespace

std::vector<AccuracyTask> second_order_tasks(const ReproduceOptions& options) {
  std::vector<AccuracyTask> tasks;
  for (const Budget& budget : budgets(options.fast)) {
    for (const double sigma : sigmas(options.fast)) {
      for (const Method& method : methods()) {
        for (const int64_t rank : structures(budget, method)) {
          for (int64_t seed = 0; seed < options.seeds; ++seed) {
            tasks.push_back(
                second_order_task(budget, method, rank, sigma, seed, 0, num_points(options)));
          }
        }
      }
    }
  }
  return tasks;
}

std::vector<AccuracyTask> early_tasks(const ReproduceOptions& options) {
  constexpr double kSigma = 0.1;
  std::vector<AccuracyTask> tasks;
  for (const Budget& budget : budgets(options.fast)) {
    for (const Method& method : methods()) {
      if (!method.direct || method.form == Form::kSketch) continue;
      for (int64_t seed = 0; seed < options.seeds; ++seed) {
        tasks.push_back(second_order_task(budget, method, budget.ranks.back(), kSigma, seed,
                                          budget.steps / 10, num_points(options)));
      }
    }
  }
  return tasks;
}

std::vector<AccuracyTask> third_order_tasks(const ReproduceOptions& options) {
  struct Setting {
    const char* problem;
    double sigma;
    nets::Structure structure;
    int64_t rank, steps;
  };
  std::vector<Setting> settings{{"eight", 0.5, Structure::kFull, 0, 1000}};
  if (options.fast) {
    settings[0].steps = 400;
  } else {
    settings.insert(settings.end(), {{"eight", 0.5, Structure::kLowRank, 8, 1000},
                                     {"eight", 1.0, Structure::kFull, 0, 1000},
                                     {"logistic", 0.5, Structure::kDiagonal, 0, 2000},
                                     {"mixture", 0.1, Structure::kLowRank, 20, 1000},
                                     {"mixture", 0.5, Structure::kLowRank, 20, 1000}});
  }
  const Method centred{"centred"};
  std::vector<AccuracyTask> tasks;
  for (const Setting& setting : settings) {
    for (Budget budget : budgets(false)) {
      if (std::string(budget.problem) != setting.problem) continue;
      budget.steps = setting.steps;
      for (int64_t seed = 0; seed < options.seeds; ++seed) {
        AccuracyTask task =
            second_order_task(budget, centred, budget.ranks.back(), setting.sigma, seed, 0, 0);
        FitOptions fitting = fit_options(budget, centred, budget.ranks.back(), setting.sigma, seed);
        fitting.model.network.s3 = setting.structure;
        fitting.model.network.s3_rank = std::max<int64_t>(setting.rank, 1);
        fitting.loss.gamma3 = 1;
        task.row["method"] = "third_order";
        task.row["rank"] =
            setting.structure == Structure::kFull ? rank_name(kFull) : rank_name(setting.rank);
        const int64_t points = num_points(options);
        task.task.key = fmt::format("{} {} points {}", task.row.dump(), task.task.key, points);
        task.task.run = [fitting, points, name = std::string(setting.problem),
                         sigma = setting.sigma] {
          const Problem problem = make_problem(name);
          return evaluate_third(fit(*problem.density, fitting), problem, sigma, points);
        };
        tasks.push_back(task);
      }
    }
  }
  return tasks;
}

}  // namespace scorejet::reproduce
