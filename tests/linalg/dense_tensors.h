// Symmetric tensors of order three, dense: the slow obvious forms.
#pragma once

#include <ATen/ATen.h>

namespace scorejet::testing {

// u ⊗ u ⊗ u. Shapes: u [B, D]; returns [B, D, D, D].
inline at::Tensor outer_cube(const at::Tensor& u) {
  return at::einsum("bi,bj,bk->bijk", {u, u, u});
}

// The symmetrised A ⊗ v, (A_ij v_k + A_ik v_j + A_jk v_i)/3. Shapes: a [B, D, D]; v [B, D].
inline at::Tensor symmetrised_product(const at::Tensor& a, const at::Tensor& v) {
  const at::Tensor product = at::einsum("bij,bk->bijk", {a, v});
  return (product + product.transpose(2, 3) + product.transpose(1, 3)) / 3;
}

}  // namespace scorejet::testing
