// A step without an optimiser, and the parameters of a name: what tests ask of a gradient.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "src/nets/network.h"
#include "src/training/step.h"

namespace scorejet::training {

// Losses, and their gradient into `parameters.gradients()`, clipped there.
inline StepLosses accumulate_gradients(const models::ScoreModel& model,
                                       const objectives::LossOptions& options,
                                       const NoisyBatch& batch, const FlatParameters& parameters) {
  std::vector<GradientScale> clips;
  const at::Tensor losses = compute_gradients(model, options, batch, parameters, clips);
  for (const auto& [range, factor] : clips) {
    parameters.gradients().narrow(0, range.begin, range.end - range.begin).mul_(factor);
  }
  return read_losses(losses);
}

// The parts of the buffer that hold the network's parameters whose names start with `prefix`.
inline std::vector<FlatParameters::Range> ranges_of(const models::ScoreModel& model,
                                                    const FlatParameters& parameters,
                                                    const std::string& prefix) {
  std::vector<at::Tensor> named;
  for (const auto& item : model.network().named_parameters()) {
    if (item.key().starts_with(prefix)) named.push_back(item.value());
  }
  return parameters.ranges(named);
}

// The gradient, as it stands, of those parameters.
inline at::Tensor gradient_of(const models::ScoreModel& model, const FlatParameters& parameters,
                              const std::string& prefix) {
  std::vector<at::Tensor> parts;
  for (const auto& range : ranges_of(model, parameters, prefix)) {
    parts.push_back(parameters.gradients().narrow(0, range.begin, range.end - range.begin));
  }
  return at::cat(parts);
}

}  // namespace scorejet::training
