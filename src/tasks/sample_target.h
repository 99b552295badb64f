// What chains run on: a run folder, a known density by name, or a TorchScript file. Add a kind of
// target in sample_target.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "scorejet/kernel.h"
#include "scorejet/tasks.h"

namespace scorejet::tasks {

struct SampleTarget {
  sampling::Target target;
  std::vector<int64_t> image_shape;  // {channels, height, width}, or empty
  at::Device device = at::kCPU;
  double sigma_max = 0;  // largest noise level that the target is known for; 0: any
  std::string identity;  // of what is sampled: a resumed run must have the same
  at::Tensor x0;         // [chains, D]
  // Starting points at the noise level `sigma`, Gaussian, of the data's mean and variance.
  std::function<at::Tensor(double sigma)> from_noise;
};

// Notices: a sigma that the run was not trained for; s2 by automatic differentiation.
// Errors: std::invalid_argument and std::runtime_error naming the option or the file.
SampleTarget open_target(const TargetRequest& request, const base::Listener& listener);

}  // namespace scorejet::tasks
