#include "src/training/noisy_batch.h"

#include <ATen/ATen.h>

namespace scorejet::training {

Evaluations::Evaluations(const NoisyBatch& batch, Points points)
    : points_(points), size_(batch.size()) {
  const at::Tensor noise = batch.sigma.unsqueeze(-1) * batch.z;
  if (points == Points::kPlus) {
    x = batch.x + noise;
    sigma = batch.sigma;
  } else if (points == Points::kPair) {
    x = at::cat({batch.x + noise, batch.x - noise});
    sigma = batch.sigma.repeat({2});
  } else {
    x = at::cat({batch.x + noise, batch.x - noise, batch.x});
    sigma = batch.sigma.repeat({3});
  }
}

at::Tensor Evaluations::repeated(const at::Tensor& values) const {
  std::vector<int64_t> copies(static_cast<size_t>(values.dim()), 1);
  copies.front() = num_copies();
  return values.repeat(copies);
}

at::Tensor Evaluations::mean_of_copies(const at::Tensor& values) const {
  return values.view({-1, size_}).mean(0);
}

}  // namespace scorejet::training
