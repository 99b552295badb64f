#include "reproduce/speed/loss_scaling.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <cmath>
#include <memory>

#include "bench/timing.h"
#include "src/base/error.h"
#include "src/base/seed.h"
#include "src/objectives/denoising.h"

namespace scorejet::reproduce {
namespace {

constexpr int64_t kBatch = 8, kRank = 20, kDim = 784;

struct LossSize {
  int64_t dim, rank;
};

// The loss of one size, with what it is given.
class Problem {
 public:
  explicit Problem(const LossSize& size) {
    const at::Generator generator = base::make_generator(0, "loss scaling");
    const int64_t n = 3 * kBatch;
    const auto draw = [&](at::IntArrayRef shape) { return at::randn(shape, generator); };
    s1_ = draw({n, size.dim});
    diagonal_ = (-0.5 - draw({n, size.dim}).abs()).requires_grad_();
    factor_ = draw({n, size.rank, size.dim}).div_(std::sqrt(static_cast<double>(size.dim)));
    factor_ = factor_.transpose(1, 2).requires_grad_();
    z_ = draw({kBatch, size.dim});
    sigma_ = at::full({kBatch}, 0.5);
  }

  void run() const {
    const auto s2 = linalg::SymmetricOperator::from_low_rank(diagonal_, factor_);
    const at::Tensor loss =
        objectives::hessian_loss_antithetic(objectives::Form::kCentred, s1_, s2, z_, sigma_);
    torch::autograd::grad({loss.mean()}, {diagonal_, factor_});
  }

 private:
  at::Tensor s1_, diagonal_, factor_, z_, sigma_;
};

void measure_loss(const char* along, const std::vector<LossSize>& sizes, LossScaling& result) {
  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<bench::Way> ways;
  for (const LossSize& size : sizes) {
    problems.push_back(std::make_unique<Problem>(size));
    ways.push_back({[problem = problems.back().get()] { problem->run(); }});
  }
  const std::vector<double> seconds = bench::median_seconds(ways);
  std::vector<double> x, memory;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool by_dim = std::string(along) == "dim";
    x.push_back(static_cast<double>(by_dim ? sizes[i].dim : sizes[i].rank));
    memory.push_back(bench::peak_memory([&] { problems[i]->run(); }));
    result.sizes.push_back({{"along", along},
                            {"dim", sizes[i].dim},
                            {"rank", sizes[i].rank},
                            {"seconds", seconds[i]},
                            {"peak_mb", memory.back() / 1e6}});
  }
  result.slopes.push_back({{"along", along},
                           {"seconds", log_log_slope(x, seconds)},
                           {"peak_mb", log_log_slope(x, memory)}});
}

}  // namespace

double log_log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() != y.size() || x.size() < 2) {
    base::fail_argument("reproduce::log_log_slope",
                        "x and y must have the same length, at least 2; got {} and {}", x.size(),
                        y.size());
  }
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(x[i]) / static_cast<double>(x.size());
    mean_y += std::log(y[i]) / static_cast<double>(x.size());
  }
  double covariance = 0, variance = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = std::log(x[i]) - mean_x;
    covariance += dx * (std::log(y[i]) - mean_y);
    variance += dx * dx;
  }
  return covariance / variance;
}

LossScaling measure_loss_scaling(bool fast) {
  std::vector<LossSize> dims, ranks;
  for (const int64_t dim : {784, 3072, 12288, 49152}) dims.push_back({dim, kRank});
  for (const int64_t rank : {5, 10, 20, 50, 100, 200}) ranks.push_back({kDim, rank});
  if (fast) {
    dims.resize(3);
    ranks.resize(3);
  }
  LossScaling result;
  measure_loss("dim", dims, result);
  measure_loss("rank", ranks, result);
  return result;
}

}  // namespace scorejet::reproduce
