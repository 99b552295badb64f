// Adam with an exponential moving average of the weights, on flat buffers, the norms that clipping
// needs, and the schedule of the learning rate.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "src/training/flat_parameters.h"

namespace scorejet::training {

struct AdamState {
  at::Tensor first_moment, second_moment;  // [P]
  at::Tensor average;                      // EMA of the weights, [P]
  int64_t step = 0;                        // updates made so far
};

AdamState make_adam_state(const at::Tensor& values);

// A part of a flat gradient, and what it is to be multiplied by: 1 or, clipped, less. A scalar on
// the gradient's device, so that an update need not wait until it is known.
struct GradientScale {
  GradientScale(FlatParameters::Range range, at::Tensor factor);
  GradientScale(FlatParameters::Range range, double factor);

  FlatParameters::Range range;
  at::Tensor factor;  // []
};

// One update, in place. Math: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η m̂/(√v̂ + 1e-8) with
// β = (0.9, 0.999) and bias correction (Kingma & Ba 2015); then average ← w + d (average − w) with
// d = min(ema, (1+t)/(10+t)), so that early averages forget the initialisation. g is the gradient
// times its scale, 1 where no range covers it; ranges do not overlap and ascend.
// Cost: in float32 on the CPU one pass, elsewhere adam_step_plain's ten. The same bits for any
// number of threads.
void adam_step(AdamState& state, const at::Tensor& values, const at::Tensor& gradients,
               double learning_rate, double ema, const std::vector<GradientScale>& scales = {});
// The same in tensor operations.
void adam_step_plain(AdamState& state, const at::Tensor& values, const at::Tensor& gradients,
                     double learning_rate, double ema,
                     const std::vector<GradientScale>& scales = {});

// Norm of those parts of a flat buffer, a float64 scalar on its device: one pass over them. The
// same bits for any number of threads.
at::Tensor range_norm(const at::Tensor& flat, const std::vector<FlatParameters::Range>& ranges);
at::Tensor range_norm_plain(const at::Tensor& flat,
                            const std::vector<FlatParameters::Range>& ranges);

// Linear warm-up over `warmup` steps, then half a cosine down to 0 as `progress` goes from 0 to 1.
double scheduled_rate(double peak, int64_t step, int64_t warmup, double progress);

}  // namespace scorejet::training
