// Preconditions on tensors, in one vocabulary. Each takes the function's and the argument's name.
// Messages read "[module::function] argument must <constraint>; got <actual>."
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

#include "src/base/error.h"

namespace scorejet::base {

// `shape` uses -1 for "any size". Throws std::invalid_argument.
void check_shape(std::string_view where, std::string_view name, const at::Tensor& tensor,
                 at::IntArrayRef shape);
// float32 or float64. Throws std::invalid_argument.
void check_floating(std::string_view where, std::string_view name, const at::Tensor& tensor);
// No NaN, no infinity; the message names the first bad row. Throws std::domain_error.
void check_finite(std::string_view where, std::string_view name, const at::Tensor& tensor);
// Every element > 0. Throws std::domain_error.
void check_positive(std::string_view where, std::string_view name, const at::Tensor& tensor);
void check_positive(std::string_view where, std::string_view name, double value);
// Same element type and device. Throws std::invalid_argument.
void check_like(std::string_view where, std::string_view name, const at::Tensor& tensor,
                std::string_view reference_name, const at::Tensor& reference);

}  // namespace scorejet::base
