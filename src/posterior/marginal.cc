#include "scorejet/marginal.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "src/base/check.h"
#include "src/base/parallel.h"
#include "src/posterior/line_density.h"

namespace scorejet::posterior {
namespace {

constexpr const char* kCumulants = "posterior::directional_cumulants";
constexpr const char* kDensity = "posterior::MaximumEntropyDensity";

// ∂f/∂t, row by row; undefined where f does not depend on t.
at::Tensor slope(const at::Tensor& f, const at::Tensor& t, bool again) {
  if (!f.requires_grad()) return {};
  try {
    return torch::autograd::grad({f}, {t}, {at::ones_like(f)}, /*retain_graph=*/again,
                                 /*create_graph=*/again, /*allow_unused=*/true)[0];
  } catch (const c10::NotImplementedError& error) {
    const std::string text = error.what_without_backtrace();
    base::fail_argument(kCumulants,
                        "score of the field must be differentiable as often as needed; got \"{}\"",
                        text.substr(0, text.find('\n')));
  }
}

// D_v^j log p_σ at x̃ for j = 1 .. order, each [B].
std::vector<at::Tensor> directional_derivatives(const score::ScoreField& field, const at::Tensor& x,
                                                const at::Tensor& sigma, const at::Tensor& v,
                                                int64_t order, int64_t source) {
  at::AutoGradMode enabled(true);
  const int64_t known = std::min({order, source, static_cast<int64_t>(field.max_order())});
  const at::Tensor t = at::zeros({x.size(0)}, x.options().requires_grad(false)).requires_grad_();
  const score::Jet jet =
      field.evaluate(x.detach() + t.unsqueeze(1) * v, sigma, static_cast<int>(known));
  std::vector<at::Tensor> derivatives{(jet.s1 * v).sum(-1)};
  if (known >= 2) derivatives.push_back(jet.s2->quadratic_form(v));
  if (known >= 3) derivatives.push_back(jet.s3->cubic_form(v));
  for (int64_t j = known + 1; j <= order; ++j) {
    at::Tensor next = slope(derivatives.back(), t, j < order);
    if (!next.defined()) {
      if (j == known + 1) {
        base::fail_argument(kCumulants,
                            "s{} of the field must be differentiable in x; got one without graph",
                            known);
      }
      next = at::zeros_like(t).detach();  // a polynomial has come to its end
    }
    derivatives.push_back(next);
  }
  for (at::Tensor& derivative : derivatives) derivative = derivative.detach();
  return derivatives;
}

// The support of every row, as numbers.
struct Support {
  std::vector<double> lower, upper;
};

std::vector<double> numbers(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kCPU, at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

std::vector<double> bound(const char* name, const at::Tensor& tensor, int64_t rows,
                          double otherwise) {
  if (!tensor.defined()) return std::vector<double>(static_cast<size_t>(rows), otherwise);
  if (tensor.dim() == 0) return numbers(tensor.expand({rows}));
  base::check_shape(kDensity, name, tensor, {rows});
  return numbers(tensor);
}

Support support_of(const std::vector<double>& cumulants, int64_t rows, int64_t count,
                   const MaximumEntropyOptions& options) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  base::check_positive(kDensity, "half_width", options.half_width);
  Support support{bound("lower", options.lower, rows, -kInfinity),
                  bound("upper", options.upper, rows, kInfinity)};
  for (size_t row = 0; row < support.lower.size(); ++row) {
    const double* own = cumulants.data() + row * static_cast<size_t>(count);
    const double reach = options.half_width * std::sqrt(std::max(own[1], 0.0));
    support.lower[row] = std::max(support.lower[row], own[0] - reach);
    support.upper[row] = std::min(support.upper[row], own[0] + reach);
  }
  return support;
}

void check_cumulants(const at::Tensor& cumulants) {
  base::check_shape(kDensity, "cumulants", cumulants, {-1, -1});
  base::check_floating(kDensity, "cumulants", cumulants);
  if (cumulants.size(1) < 2 || cumulants.size(1) > 4) {
    base::fail_argument(kDensity, "cumulants must be two, three or four a row; got {}",
                        cumulants.size(1));
  }
}

// visit(row, its cumulants, its support), rows in turn; `count` of `values` a row.
template <typename Visit>
void each_row(const std::vector<double>& values, int64_t count,
              const MaximumEntropyOptions& options, const Visit& visit) {
  const auto columns = static_cast<size_t>(count);
  const size_t rows = values.size() / columns;
  const Support support = support_of(values, static_cast<int64_t>(rows), count, options);
  for (size_t row = 0; row < rows; ++row) {
    visit(static_cast<int64_t>(row),
          std::span<const double>(values.data() + row * columns, columns), support.lower[row],
          support.upper[row]);
  }
}

}  // namespace

at::Tensor directional_cumulants(const score::ScoreField& field, const at::Tensor& x,
                                 const at::Tensor& sigma, const at::Tensor& v, int64_t order,
                                 int64_t source) {
  base::check_shape(kCumulants, "x", x, {-1, field.dim()});
  base::check_shape(kCumulants, "v", v, x.sizes());
  base::check_finite(kCumulants, "x", x);
  base::check_finite(kCumulants, "v", v);
  if (order < 1 || order > 4) {
    base::fail_argument(kCumulants, "order must lie between 1 and 4; got {}", order);
  }
  if (source < 1 || source > 3) {
    base::fail_argument(kCumulants, "source must be 1, 2 or 3; got {}", source);
  }
  const at::Tensor levels = score::broadcast_sigma(kCumulants, x, sigma);
  const at::Tensor direction = v.detach();
  std::vector<at::Tensor> cumulants =
      directional_derivatives(field, x, levels, direction, order, source);
  const at::Tensor variance = levels.square();
  at::Tensor power = variance;  // σ^{2j}
  for (at::Tensor& cumulant : cumulants) {
    cumulant = power * cumulant;
    power = power * variance;
  }
  cumulants[0] = cumulants[0] + (x.detach() * direction).sum(-1);
  if (order >= 2) cumulants[1] = cumulants[1] + variance * direction.square().sum(-1);
  return at::stack(cumulants, 1);
}

MaximumEntropyDensity::MaximumEntropyDensity(const at::Tensor& cumulants,
                                             const MaximumEntropyOptions& options)
    : like_(at::empty({0}, cumulants.options().requires_grad(false))) {
  struct Task {
    std::span<const double> cumulants;
    double lower, upper;
  };
  check_cumulants(cumulants);
  const std::vector<double> values = numbers(cumulants);
  std::vector<Task> tasks;
  each_row(values, cumulants.size(1), options,
           [&](int64_t row, std::span<const double> own, double lower, double upper) {
             const std::string reason = why_impossible(own, lower, upper);
             if (!reason.empty()) {
               base::fail_domain(kDensity, "cumulants must {} at row {}", reason, row);
             }
             tasks.push_back({own, lower, upper});
           });
  std::vector<std::optional<LineDensity>> fitted(tasks.size());
  base::parallel_for(static_cast<int64_t>(tasks.size()), 4, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      fitted[i].emplace(tasks[i].cumulants, tasks[i].lower, tasks[i].upper);
    }
  });
  auto lines = std::make_shared<std::vector<LineDensity>>();
  lines->reserve(fitted.size());
  for (std::optional<LineDensity>& line : fitted) lines->push_back(std::move(*line));
  lines_ = std::move(lines);
}

at::Tensor MaximumEntropyDensity::feasible(const at::Tensor& cumulants,
                                           const MaximumEntropyOptions& options) {
  check_cumulants(cumulants);
  at::Tensor result = at::ones({cumulants.size(0)}, at::kBool);
  each_row(numbers(cumulants), cumulants.size(1), options,
           [&](int64_t row, std::span<const double> own, double lower, double upper) {
             result.data_ptr<bool>()[row] = why_impossible(own, lower, upper).empty();
           });
  return result.to(cumulants.device());
}

at::Tensor MaximumEntropyDensity::at_points(
    const at::Tensor& t, const std::function<double(const LineDensity&, double)>& value) const {
  const auto rows = static_cast<int64_t>(lines_->size());
  if (t.dim() == 1) {
    base::check_shape(kDensity, "t", t, {rows});
  } else {
    base::check_shape(kDensity, "t", t, {rows, -1});
  }
  at::Tensor result = t.to(at::kCPU, at::kDouble).clone(at::MemoryFormat::Contiguous);
  const int64_t columns = t.dim() == 1 ? 1 : t.size(1);
  double* data = result.data_ptr<double>();
  base::parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const LineDensity& line = (*lines_)[static_cast<size_t>(row)];
      for (double* p = data + row * columns; p != data + (row + 1) * columns; ++p) {
        *p = value(line, *p);
      }
    }
  });
  return result.to(like_.options());
}

at::Tensor MaximumEntropyDensity::pdf(const at::Tensor& t) const {
  return at_points(t, [](const LineDensity& line, double at) { return line.pdf(at); });
}

at::Tensor MaximumEntropyDensity::cdf(const at::Tensor& t) const {
  return at_points(t, [](const LineDensity& line, double at) { return line.cdf(at); });
}

at::Tensor MaximumEntropyDensity::quantile(const at::Tensor& p) const {
  base::check_shape(kDensity, "p", p, {-1});
  if (!(p >= 0).logical_and(p <= 1).all().item<bool>()) {
    base::fail_domain(kDensity, "p must lie between 0 and 1; got {} to {}", p.min().item<double>(),
                      p.max().item<double>());
  }
  return at_points(p.unsqueeze(0).expand({static_cast<int64_t>(lines_->size()), -1}),
                   [](const LineDensity& line, double at) { return line.quantile(at); });
}

at::Tensor MaximumEntropyDensity::cumulants() const {
  at::Tensor result = at::empty({static_cast<int64_t>(lines_->size()), 4}, at::kDouble);
  double* data = result.data_ptr<double>();
  for (const LineDensity& line : *lines_) {
    for (double value : line.cumulants()) *data++ = value;
  }
  return result.to(like_.options());
}

at::Tensor MaximumEntropyDensity::residual() const {
  at::Tensor result = at::empty({static_cast<int64_t>(lines_->size())}, at::kDouble);
  double* data = result.data_ptr<double>();
  for (const LineDensity& line : *lines_) *data++ = line.residual();
  return result.to(like_.device());
}

at::Tensor MaximumEntropyDensity::converged() const {
  at::Tensor result = at::empty({static_cast<int64_t>(lines_->size())}, at::kBool);
  bool* data = result.data_ptr<bool>();
  for (const LineDensity& line : *lines_) *data++ = line.converged();
  return result.to(like_.device());
}

}  // namespace scorejet::posterior
