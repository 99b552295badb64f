#include "reproduce/shared/spectra.h"

#include <ATen/ATen.h>

#include <cmath>

namespace scorejet::reproduce {

at::Tensor log_spaced(double first, double last, int64_t count) {
  return at::linspace(std::log(first), std::log(last), count, at::kDouble).exp();
}

at::Tensor random_rotation(int64_t d, at::Generator random) {
  return std::get<0>(at::linalg_qr(at::randn({d, d}, random, at::kDouble)));
}

at::Tensor with_axes(const at::Tensor& q, const at::Tensor& eigenvalues) {
  return at::matmul(q * eigenvalues, q.t());
}

}  // namespace scorejet::reproduce
