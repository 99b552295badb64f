// The optional terms of the second-order loss that look at s1, s2 and the noise alone. Each is
// added with a weight of its own, the setting loss.NAME. Add one: a file in this folder (copy
// templates/loss_term.cc), and its function in terms.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "scorejet/symmetric_operator.h"

namespace scorejet::objectives {

struct Term {
  std::string name;        // its weight is the setting loss.NAME
  std::string help;        // of that setting
  bool needs_psd = false;  // whether I + σ² s2 must be positive definite
  // Per sample, [B], of any unit. On average over x̃ it must be least, if not there alone, at the
  // true s2 where s1 is the true one. No gradient flows into s1. Shapes: s1, z [B, D]; sigma [B].
  at::Tensor (*loss)(const at::Tensor& s1, const linalg::SymmetricOperator& s2, const at::Tensor& z,
                     const at::Tensor& sigma);
};

const std::vector<Term>& terms();

}  // namespace scorejet::objectives
