// Posterior cumulants and raw moments of any order, as dense tensors: for small D, and as the truth
// that faster forms are held against.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace scorejet::score {

// All partitions of {0, ..., n − 1} into blocks, each block ascending, blocks by their first
// element. Their number is Bell's: 1, 2, 5, 15, 52. Errors: std::invalid_argument unless 1 <= n
// <= 8.
std::vector<std::vector<std::vector<int64_t>>> set_partitions(int64_t n);

// The posterior's cumulants from the scores at x̃ = x + σz.
// Math: κ1 = x̃ + σ² s1, κ2 = σ² I + σ⁴ s2, κn = σ^{2n} s_n for n >= 3: the posterior is an
// exponential family in x̃/σ². Shapes: x [B, D]; sigma [B]; scores[n − 1] is s_n, [B, D, ..., D]
// with n D's; the result likewise. See: Efron 2011; Meng et al. 2021, theorem 2.
std::vector<at::Tensor> posterior_cumulants(const at::Tensor& x, const at::Tensor& sigma,
                                            const std::vector<at::Tensor>& scores);

// E[⊗ⁿ x | x̃] for n = cumulants.size(): the sum over set partitions of products of cumulants.
// Shapes: cumulants[k − 1] [B, D, ..., D] with k D's. Cost: Bell(n) tensors of B·Dⁿ.
at::Tensor raw_moment(const std::vector<at::Tensor>& cumulants);

// The paper's recursion: E[⊗ⁿ⁺¹x | x̃] = σ² ∂E[⊗ⁿx | x̃]/∂x̃ + σ² E[⊗ⁿx | x̃] ⊗ (s1 + x̃/σ²).
// Shapes: moment [B, D, ..., D] with n D's; jacobian its derivative by x̃, one D more, last.
// See: Meng et al. 2021, equation 8.
at::Tensor next_raw_moment(const at::Tensor& moment, const at::Tensor& jacobian,
                           const at::Tensor& x, const at::Tensor& sigma, const at::Tensor& s1);

}  // namespace scorejet::score
