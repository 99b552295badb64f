// Adam with an exponential moving average of the weights, on flat buffers, and the schedule of its
// learning rate.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::training {

struct AdamState {
  at::Tensor first_moment, second_moment;  // [P]
  at::Tensor average;                      // EMA of the weights, [P]
  int64_t step = 0;                        // updates made so far
};

AdamState make_adam_state(const at::Tensor& values);

// One update, in place. Math: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η m̂/(√v̂ + 1e-8) with
// β = (0.9, 0.999) and bias correction (Kingma & Ba 2015); then average ← w + d (average − w) with
// d = min(ema, (1+t)/(10+t)), so that early averages forget the initialisation.
void adam_step(AdamState& state, const at::Tensor& values, const at::Tensor& gradients,
               double learning_rate, double ema);

// Linear warm-up over `warmup` steps, then half a cosine down to 0 as `progress` goes from 0 to 1.
double scheduled_rate(double peak, int64_t step, int64_t warmup, double progress);

}  // namespace scorejet::training
