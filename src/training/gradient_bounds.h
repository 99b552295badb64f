// What keeps the gradient of a higher order from harming the orders below: groups of parameters,
// the share of a shared trunk, clipping. Change a bound here; when each is applied: step.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "scorejet/score_model.h"
#include "src/training/flat_parameters.h"
#include "src/training/optimiser.h"

namespace scorejet::training {

// Parameters by whose gradient they are clipped with; no two orders share one.
struct ParameterGroups {
  using Ranges = std::vector<FlatParameters::Range>;
  Ranges shared;  // all that is not the own of order 2 or 3: trunk, and head of a learned s1
  // Own parameters of orders 2 and 3, and for order 1 the shared ones; of a given s1 there are
  // none, and the trunk is order 2's.
  Ranges first, second, third;
};
ParameterGroups group_parameters(const models::ScoreModel& model, const FlatParameters& parameters);

// lower + higher, of which that is scaled down to at most `share` times the norm of lower.
at::Tensor bounded_sum(const at::Tensor& lower, const at::Tensor& higher, double share);

// The same in place, flat: `gradients` is higher. What lies outside `shared` is added as it is.
void add_to_lower(const at::Tensor& gradients, const at::Tensor& lower,
                  const ParameterGroups::Ranges& shared, double share);

// Norms before clipping, on the device; undefined for a group without parameters.
struct GroupNorms {
  at::Tensor first, second, third;
};
// The scales that clip each group to `clip_norm`, into `clips`, in the order of the buffer.
GroupNorms clip_groups(const ParameterGroups& groups, const at::Tensor& gradients, double clip_norm,
                       std::vector<GradientScale>& clips);

}  // namespace scorejet::training
