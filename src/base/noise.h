// Noise on clean samples.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace scorejet::base {

// x + σ z, z standard normal, all drawn from `generator`; x is on the CPU.
at::Tensor add_noise(const at::Tensor& x, double sigma, const at::Generator& generator);

// The same on any device, row i by (seed, stream, first_row + i) alone: a sample's noise does not
// depend on which others it came with. Shapes: x [N, D].
at::Tensor add_row_noise(const at::Tensor& x, double sigma, uint64_t seed, std::string_view stream,
                         int64_t first_row = 0);

}  // namespace scorejet::base
