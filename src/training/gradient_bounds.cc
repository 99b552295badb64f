#include "src/training/gradient_bounds.h"
#include "src/nets/network.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace scorejet::training {
namespace {

// bound/norm where that is below 1; 1 for a norm of 0.
at::Tensor bounding_factor(const at::Tensor& norm, const at::Tensor& bound) {
  return at::where(norm > bound, bound / norm, at::ones_like(norm));
}

// What the given ranges leave over.
ParameterGroups::Ranges complement(const ParameterGroups::Ranges& ranges, int64_t size) {
  ParameterGroups::Ranges result;
  int64_t position = 0;
  for (const auto& range : ranges) {
    if (range.begin > position) result.push_back({position, range.begin});
    position = range.end;
  }
  if (position < size) result.push_back({position, size});
  return result;
}

}  // namespace

ParameterGroups group_parameters(const models::ScoreModel& model,
                                 const FlatParameters& parameters) {
  const auto heads = parameters.ranges(model.network().own_parameters(2));
  ParameterGroups groups;
  groups.third = parameters.ranges(model.network().own_parameters(3));
  auto own = heads;
  own.insert(own.end(), groups.third.begin(), groups.third.end());
  groups.shared = complement(own, parameters.size());
  if (model.learns_first()) groups.first = groups.shared;
  groups.second = model.learns_first() ? heads : complement(groups.third, parameters.size());
  return groups;
}

at::Tensor bounded_sum(const at::Tensor& lower, const at::Tensor& higher, double share) {
  return at::addcmul(lower, higher, bounding_factor(higher.norm(), share * lower.norm()));
}

void add_to_lower(const at::Tensor& gradients, const at::Tensor& lower,
                  const ParameterGroups::Ranges& shared, double share) {
  const at::Tensor factor =
      bounding_factor(range_norm(gradients, shared), share * range_norm(lower, shared));
  for (const auto& range : shared) {
    gradients.narrow(0, range.begin, range.end - range.begin).mul_(factor);
  }
  gradients.add_(lower);
}

GroupNorms clip_groups(const ParameterGroups& groups, const at::Tensor& gradients, double clip_norm,
                       std::vector<GradientScale>& clips) {
  const at::Tensor bound = at::full({}, clip_norm, gradients.options().dtype(at::kDouble));
  clips.clear();
  const auto clip = [&](const ParameterGroups::Ranges& ranges) {
    if (ranges.empty()) return at::Tensor();
    const at::Tensor norm = range_norm(gradients, ranges);
    const at::Tensor factor = bounding_factor(norm, bound);
    for (const auto& range : ranges) clips.emplace_back(range, factor);
    return norm;
  };
  const GroupNorms norms{clip(groups.first), clip(groups.second), clip(groups.third)};
  std::sort(clips.begin(), clips.end(), [](const GradientScale& a, const GradientScale& b) {
    return a.range.begin < b.range.begin;
  });
  return norms;
}

}  // namespace scorejet::training
