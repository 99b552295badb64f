// Step sizes that find themselves: dual averaging towards an acceptance rate, a chain on its own.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::sampling {

// Math: Nesterov's dual averaging as in Hoffman & Gelman (2014), section 3.2, on log ε, with
// γ = 0.05, t₀ = 10, κ = 0.75 and μ = log 10 ε₀:
//   H̄ ← (1 − 1/(t + t₀)) H̄ + (δ − acceptance)/(t + t₀),  log ε = μ − √t H̄/γ,
//   log ε̄ ← t^-κ log ε + (1 − t^-κ) log ε̄.
// Every tensor is [C], float64: chains adapt apart, so that none depends on its neighbours.
struct DualAveraging {
  at::Tensor first_step;    // ε₀
  at::Tensor step_size;     // ε, to be used for the next step
  at::Tensor log_averaged;  // log ε̄
  at::Tensor statistic;     // H̄
  int64_t count = 0;        // t

  static DualAveraging start(const at::Tensor& step_size);
  // After a step with `acceptance` [C]; `target` is δ.
  void update(const at::Tensor& acceptance, double target);
  // Ends adaptation: ε = ε̄ from now on.
  void finish();
};

}  // namespace scorejet::sampling
