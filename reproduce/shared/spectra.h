// What the covariances of problems are made of: spaced eigenvalues and random axes, in float64.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::reproduce {

at::Tensor log_spaced(double first, double last, int64_t count);  // both ends included, [count]
at::Tensor random_rotation(int64_t d, at::Generator random);      // orthogonal Q, [d, d]
// Q diag(eigenvalues) Qᵀ.
at::Tensor with_axes(const at::Tensor& q, const at::Tensor& eigenvalues);

}  // namespace scorejet::reproduce
