// What a task denoises with: a run, or anyone's network from a TorchScript file. Add a kind of
// denoiser in denoiser.cc; a way to its posterior covariance in posterior/posteriors.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "scorejet/dataset.h"
#include "scorejet/posterior.h"
#include "scorejet/run.h"
#include "scorejet/tasks.h"

namespace scorejet::tasks {

struct Denoiser {
  std::shared_ptr<const score::ScoreField> field;
  std::shared_ptr<const training::Run> run;  // null for a file
  std::string name;                          // of the folder or file
  std::vector<int64_t> image_shape;          // {channels, height, width}, or empty for vectors
  at::Device device = at::kCPU;
  posterior::Covariance covariance = posterior::Covariance::kLearned;

  bool has_variance() const { return covariance != posterior::Covariance::kSubspace; }
};

// Opens it for samples like those of `input` and a noise level; a network of a file is tried on the
// first two. `run`: that of the request, where it has been loaded already.
// Errors: std::invalid_argument naming the option: a run and a file, or neither; another number of
// coordinates than the run's; a covariance that there is none of, or that is too large (exact: D²
// numbers a sample); what score::TorchScriptField says of the file.
Denoiser open_denoiser(const DenoiserRequest& request, const data::Dataset& input, double sigma,
                       std::shared_ptr<const training::Run> run = {});

// posterior::posteriors of it: at rows x [N, D] of a noise level, x on the CPU.
posterior::Posterior denoise_samples(const Denoiser& denoiser, const at::Tensor& x, double sigma,
                                     const posterior::DenoiseOptions& wanted,
                                     const base::Listener& listener);

// What to tell a user of a denoiser without standard deviations; "" where it has them.
std::string covariance_notice(const Denoiser& denoiser);

}  // namespace scorejet::tasks
