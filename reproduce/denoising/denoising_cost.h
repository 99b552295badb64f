// What the ways to a posterior cost: seconds and peak memory an image. Add a way in
// denoising_cost.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include "reproduce/shared/table.h"
#include "scorejet/score_field.h"

namespace scorejet::reproduce {

// A row for: s1 alone; mean and standard deviation; mean, standard deviation and 5 components of
// the field's own s2; 5 components by block Krylov and by subspace iteration on its s1; the whole
// Jacobian with 5 components. Columns: seconds an image (a batch of 8, but the Jacobian; medians of
// rounds in which all ways alternate), `over_s1` (against s1 alone) and peak_mb (of one image).
// direct_only: the first three alone. noisy [>= 8, D].
Rows measure_cost(const score::ScoreField& field, const at::Tensor& noisy, double sigma,
                  bool direct_only = false);

}  // namespace scorejet::reproduce
