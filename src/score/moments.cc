#include "scorejet/tweedie.h"

#include <ATen/ATen.h>

#include "src/base/check.h"

namespace scorejet::score {

at::Tensor posterior_mean(const at::Tensor& x, const at::Tensor& sigma, const at::Tensor& s1) {
  base::check_shape("score::posterior_mean", "s1", s1, x.sizes());
  base::check_shape("score::posterior_mean", "sigma", sigma, {x.size(0)});
  return x + sigma.square().unsqueeze(-1) * s1;
}

linalg::SymmetricOperator posterior_covariance(const at::Tensor& sigma,
                                               const linalg::SymmetricOperator& s2) {
  base::check_shape("score::posterior_covariance", "sigma", sigma, {s2.batch()});
  return s2.affine(sigma.square(), sigma.pow(4));
}

linalg::SymmetricTensor posterior_third_cumulant(const at::Tensor& sigma,
                                                 const linalg::SymmetricTensor& s3) {
  base::check_shape("score::posterior_third_cumulant", "sigma", sigma, {s3.batch()});
  return s3.scaled(sigma.pow(6));
}

}  // namespace scorejet::score
