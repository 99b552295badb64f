#include "src/training/optimiser.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "src/base/error.h"
#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/training/flat_kernels.h"

namespace scorejet::training {
namespace {

using Range = FlatParameters::Range;

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

// Pieces are the same for any number of threads, and so are sums over them. Large enough that
// handing one out does not show, small enough to share evenly.
constexpr int64_t kPiece = 1 << 14;
constexpr int64_t kGrain = 4;  // pieces a thread takes at least

double average_decay(double ema, int64_t step) {
  const auto t = static_cast<double>(step);
  return std::min(ema, (1 + t) / (10 + t));
}

// The ranges cut into pieces.
std::vector<Range> pieces_of(const std::vector<Range>& ranges) {
  std::vector<Range> pieces;
  for (const Range& range : ranges) {
    for (int64_t begin = range.begin; begin < range.end; begin += kPiece) {
      pieces.push_back({begin, std::min(begin + kPiece, range.end)});
    }
  }
  return pieces;
}

// Scales for the whole buffer: those given, and 1 between them.
std::vector<GradientScale> cover(const std::vector<GradientScale>& scales, int64_t size) {
  std::vector<GradientScale> all;
  int64_t position = 0;
  for (const GradientScale& scale : scales) {
    const auto [begin, end] = scale.range;
    if (begin < position || end < begin || end > size) {
      base::fail_argument("training::adam_step",
                          "scales must be of ascending ranges within [0, {}]; got [{}, {}]", size,
                          begin, end);
    }
    if (begin > position) all.push_back({{position, begin}, 1.0});
    all.push_back(scale);
    position = end;
  }
  if (position < size) all.push_back({{position, size}, 1.0});
  return all;
}

bool is_flat_float(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous();
}

}  // namespace

GradientScale::GradientScale(Range range, at::Tensor factor)
    : range(range), factor(std::move(factor)) {}
GradientScale::GradientScale(Range range, double factor)
    : GradientScale(range, at::scalar_tensor(factor, at::kDouble)) {}

AdamState make_adam_state(const at::Tensor& values) {
  return {at::zeros_like(values), at::zeros_like(values), values.detach().clone(), 0};
}

void adam_step_plain(AdamState& state, const at::Tensor& values, const at::Tensor& gradients,
                     double learning_rate, double ema, const std::vector<GradientScale>& scales) {
  at::NoGradGuard no_grad;
  const auto t = static_cast<double>(++state.step);
  at::Tensor g = gradients;
  if (!scales.empty()) {
    g = gradients.clone();
    for (const GradientScale& scale : cover(scales, g.size(0))) {
      g.narrow(0, scale.range.begin, scale.range.end - scale.range.begin).mul_(scale.factor);
    }
  }
  state.first_moment.mul_(kBeta1).add_(g, 1 - kBeta1);
  state.second_moment.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
  const at::Tensor denominator =
      (state.second_moment / (1 - std::pow(kBeta2, t))).sqrt_().add_(kEpsilon);
  at::Tensor(values).addcdiv_(state.first_moment, denominator,
                              -learning_rate / (1 - std::pow(kBeta1, t)));
  state.average.lerp_(values, 1 - average_decay(ema, state.step));
}

void adam_step(AdamState& state, const at::Tensor& values, const at::Tensor& gradients,
               double learning_rate, double ema, const std::vector<GradientScale>& scales) {
  if (!is_flat_float(values) || !is_flat_float(gradients) || !is_flat_float(state.first_moment) ||
      !is_flat_float(state.second_moment) || !is_flat_float(state.average) ||
      !base::fast(base::FastPath::kAdamStep)) {
    return adam_step_plain(state, values, gradients, learning_rate, ema, scales);
  }
  struct Piece {
    Range range;
    float scale;
  };
  std::vector<Piece> pieces;
  for (const GradientScale& scale : cover(scales, values.size(0))) {
    for (const Range& range : pieces_of({scale.range})) {
      pieces.push_back({range, static_cast<float>(scale.factor.item<double>())});
    }
  }
  const auto t = static_cast<double>(++state.step);
  AdamConstants c;
  c.beta1 = static_cast<float>(kBeta1);
  c.beta2 = static_cast<float>(kBeta2);
  c.one_minus_beta1 = static_cast<float>(1 - kBeta1);
  c.one_minus_beta2 = static_cast<float>(1 - kBeta2);
  c.rate = static_cast<float>(learning_rate / (1 - std::pow(kBeta1, t)));
  c.correction2 = static_cast<float>(1 / (1 - std::pow(kBeta2, t)));
  c.epsilon = static_cast<float>(kEpsilon);
  c.average_rate = static_cast<float>(1 - average_decay(ema, state.step));
  const float* g = gradients.data_ptr<float>();
  float *w = values.data_ptr<float>(), *m = state.first_moment.data_ptr<float>(),
        *v = state.second_moment.data_ptr<float>(), *average = state.average.data_ptr<float>();
  const FlatKernels& kernels = flat_kernels();
  base::parallel_for(static_cast<int64_t>(pieces.size()), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& [range, scale] = pieces[static_cast<size_t>(i)];
      const int64_t at = range.begin;
      kernels.adam(c, scale, range.end - at, g + at, w + at, m + at, v + at, average + at);
    }
  });
}

at::Tensor range_norm_plain(const at::Tensor& flat, const std::vector<Range>& ranges) {
  std::vector<at::Tensor> norms{at::zeros({}, flat.options().dtype(at::kDouble))};
  for (const auto& range : ranges) {
    norms.push_back(flat.narrow(0, range.begin, range.end - range.begin).norm().to(at::kDouble));
  }
  return at::stack(norms).norm();
}

at::Tensor range_norm(const at::Tensor& flat, const std::vector<Range>& ranges) {
  if (!is_flat_float(flat) || !base::fast(base::FastPath::kRangeNorm)) {
    return range_norm_plain(flat, ranges);
  }
  const std::vector<Range> pieces = pieces_of(ranges);
  std::vector<double> squares(pieces.size());
  const float* x = flat.data_ptr<float>();
  const FlatKernels& kernels = flat_kernels();
  base::parallel_for(static_cast<int64_t>(pieces.size()), kGrain, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      squares[i] = kernels.squared_sum(x + pieces[i].begin, pieces[i].end - pieces[i].begin);
    }
  });
  return at::scalar_tensor(std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)),
                           at::kDouble);
}

double scheduled_rate(double peak, int64_t step, int64_t warmup, double progress) {
  const double ramp =
      warmup > 0 ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(warmup)) : 1.0;
  const double p = std::clamp(progress, 0.0, 1.0);
  return peak * ramp * 0.5 * (1 + std::cos(std::numbers::pi * p));
}

}  // namespace scorejet::training
