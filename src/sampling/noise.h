// The random numbers of a chain's step, as a pure function of (seed, chain, step): a chain draws
// the same however many run beside it and wherever a run was interrupted.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::sampling {

// Counter-based (Philox 4x32-10, Salmon et al. 2011): nothing is carried from step to step.
class Noise {
 public:
  Noise(uint64_t seed, int64_t num_chains, int64_t step)
      : seed_(seed), num_chains_(num_chains), step_(step) {}

  // Standard normal numbers [C, dim], by Box and Muller in float64; |z| < 6.77.
  at::Tensor normal(int64_t dim, const at::TensorOptions& options) const;
  // Uniform on (0, 1), [C], independent of normal(); `slot` counts the draws of one step.
  at::Tensor uniform(int64_t slot, const at::TensorOptions& options) const;

 private:
  uint64_t seed_;
  int64_t num_chains_, step_;
};

}  // namespace scorejet::sampling
