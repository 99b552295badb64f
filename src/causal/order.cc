#include "scorejet/causal_order.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>

#include "scorejet/score_model.h"
#include "src/base/check.h"
#include "src/base/parallel.h"
#include "src/base/seed.h"
#include "src/nets/network.h"
#include "src/training/fit.h"

namespace scorejet::causal {
namespace {

constexpr const char* kWhere = "causal::causal_order";

// Columns of mean 0 and variance 1, in float32.
at::Tensor standardise(const at::Tensor& x, const std::vector<std::string>& names) {
  base::check_shape(kWhere, "x", x, {-1, -1});
  base::check_floating(kWhere, "x", x);
  if (x.size(1) < 2) {
    base::fail_argument(kWhere, "x must have at least 2 columns; got {}", x.size(1));
  }
  if (x.size(0) < kMinRows) {
    base::fail_argument(kWhere, "x must have at least {} rows; got {}", kMinRows, x.size(0));
  }
  if (static_cast<int64_t>(names.size()) != x.size(1)) {
    base::fail_argument(kWhere, "names must hold one for each of {} columns; got {}", x.size(1),
                        names.size());
  }
  const at::Tensor bad = at::nonzero(at::isfinite(x).logical_not());
  if (bad.size(0) > 0) {
    const auto row = bad[0][0].item<int64_t>(), column = bad[0][1].item<int64_t>();
    base::fail_domain(kWhere, "x must be finite; got {} in row {} of the data, column \"{}\"",
                      x[row][column].item<double>(), row + 1, names[static_cast<size_t>(column)]);
  }
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor centred = wide - wide.mean(0), deviation = wide.std(0);
  for (int64_t j = 0; j < x.size(1); ++j) {
    // Rounding leaves a constant column a deviation of its own size times 1e-16.
    const double size = wide.select(1, j).abs().max().item<double>();
    if (deviation[j].item<double>() <= 1e-12 * size) {
      base::fail_domain(kWhere, "every column must vary; column \"{}\" is constant at {}",
                        names[static_cast<size_t>(j)], wide[0][j].item<double>());
    }
  }
  return (centred / deviation).to(at::kFloat);
}

std::unique_ptr<models::ScoreModel> make_model(int64_t dim) {
  models::ScoreModelOptions options;
  options.network.kind = "mlp";
  options.network.dim = dim;
  options.network.s2 = nets::Structure::kDiagonal;
  options.network.share_trunk = false;
  options.network.mlp.width = 64;
  options.network.mlp.depth = 1;
  options.scale = models::OutputScale::kData;
  return std::make_unique<models::ScoreModel>(options, at::zeros({dim}), at::ones({dim}));
}

// The same network without coordinate `gone`: it is left out of every weight that has an axis for
// the coordinates.
std::unique_ptr<models::ScoreModel> without(const models::ScoreModel& model, int64_t gone) {
  at::NoGradGuard no_grad;
  auto smaller = make_model(model.dim() - 1);
  const auto before = model.network().named_parameters();
  for (const auto& item : smaller->network().named_parameters()) {
    at::Tensor from = before[item.key()], to = item.value();
    for (int64_t axis = 0; axis < to.dim(); ++axis) {
      if (from.size(axis) == to.size(axis)) continue;
      from = at::cat(
          {from.narrow(axis, 0, gone), from.narrow(axis, gone + 1, from.size(axis) - gone - 1)},
          axis);
    }
    to.copy_(from);
  }
  return smaller;
}

// The learned curvature, stage by stage: networks that lose the leaf's coordinate and train on.
class Curvature {
 public:
  Curvature(const at::Tensor& data, const OrderOptions& options)
      : data_(data),
        options_(options),
        total_(options.networks * (options.steps + (data.size(1) - 2) * options.later_steps)) {
    torch::manual_seed(base::derive_seed(options.seed, "weights", 0));
    for (int64_t k = 0; k < options.networks; ++k) models_.push_back(make_model(data.size(1)));
  }

  // s2's diagonal at noisy data, where it is learned; the mean over the networks.
  at::Tensor at_stage(const std::vector<int64_t>& present) {
    const at::Tensor data = data_.index_select(1, at::tensor(present, at::kLong));
    const bool first = present_.empty();
    if (!first) {
      const auto gone = std::mismatch(present.begin(), present.end(), present_.begin()).first;
      for (auto& model : models_) model = without(*model, gone - present.begin());
    }
    present_ = present;
    base::parallel_for(options_.networks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) train(k, data, first);
    });
    const at::Tensor points = data.repeat({kNoisyCopies, 1});
    at::Generator noise = base::make_generator(options_.seed, "points", present.size());
    points.add_(at::randn(points.sizes(), noise, points.options()), options_.sigma);
    at::NoGradGuard no_grad;
    at::Tensor sum = at::zeros_like(points);
    for (const auto& model : models_) {
      sum += model->evaluate(points, options_.sigma, 2).s2->diagonal();
    }
    return sum / static_cast<double>(options_.networks);
  }

 private:
  static constexpr int64_t kNoisyCopies = 4;  // of each row

  void train(int64_t k, const at::Tensor& data, bool first) {
    training::FitOptions fitting;
    fitting.sigma = options_.sigma;
    fitting.batch = 128;
    fitting.ema = 0.99;
    const uint64_t own = base::derive_seed(options_.seed, "network", static_cast<uint64_t>(k));
    fitting.seed = base::derive_seed(own, "stage", present_.size());
    fitting.steps = first ? options_.steps : options_.later_steps;
    if (!first) {
      fitting.learning_rate /= 2;
      fitting.warmup = 10;
    }
    fitting.on_step = [this] {
      const std::lock_guard lock(mutex_);
      ++done_;
      if (options_.on_step) options_.on_step(done_, total_);
    };
    training::fit(
        *models_[static_cast<size_t>(k)],
        [&](int64_t batch, at::Generator generator) {
          return data.index_select(
              0, at::randint(data.size(0), {batch}, generator, at::TensorOptions(at::kLong)));
        },
        fitting);
  }

  const at::Tensor data_;
  const OrderOptions& options_;
  int64_t total_, done_ = 0;
  std::mutex mutex_;  // of done_ and on_step
  std::vector<std::unique_ptr<models::ScoreModel>> models_;
  std::vector<int64_t> present_;  // at the stage before
};

}  // namespace

CausalOrder remove_leaves(int64_t num_variables, const HessianDiagonal& diagonal) {
  CausalOrder result;
  std::vector<int64_t> present(static_cast<size_t>(num_variables));
  std::iota(present.begin(), present.end(), 0);
  while (present.size() > 1) {
    Stage stage;
    stage.present = present;
    const at::Tensor variance = diagonal(present).to(at::kDouble).var(0).contiguous();
    stage.variances.assign(variance.data_ptr<double>(),
                           variance.data_ptr<double>() + variance.numel());
    const auto least = std::min_element(stage.variances.begin(), stage.variances.end());
    const auto place = least - stage.variances.begin();
    double next = std::numeric_limits<double>::infinity();
    for (auto it = stage.variances.begin(); it != stage.variances.end(); ++it) {
      if (it != least) next = std::min(next, *it);
    }
    stage.leaf = present[static_cast<size_t>(place)];
    stage.gap = next / *least;
    result.order.push_back(stage.leaf);
    present.erase(present.begin() + place);
    result.stages.push_back(std::move(stage));
  }
  result.order.push_back(present[0]);
  std::reverse(result.order.begin(), result.order.end());
  return result;
}

CausalOrder causal_order(const at::Tensor& x, const std::vector<std::string>& names,
                         const OrderOptions& options) {
  const at::Tensor data = standardise(x, names);
  base::check_positive(kWhere, "sigma", options.sigma);
  if (options.networks < 1 || options.steps < 1 || options.later_steps < 0) {
    base::fail_domain(kWhere,
                      "networks and steps must be at least 1, later_steps 0; got {}, {}, {}",
                      options.networks, options.steps, options.later_steps);
  }
  Curvature curvature(data, options);
  return remove_leaves(data.size(1), [&](const std::vector<int64_t>& present) {
    return curvature.at_stage(present);
  });
}

}  // namespace scorejet::causal
