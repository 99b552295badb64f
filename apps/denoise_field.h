// What `scorejet denoise` denoises with: a run, or anyone's network from a TorchScript file; and
// the ways to its posterior covariance. Add a kind of denoiser, or a way, in denoise_field.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scorejet/data/dataset.h"
#include "scorejet/posterior/denoise.h"
#include "scorejet/training/run_folder.h"

namespace scorejet::apps {

struct DenoiserRequest {
  std::string run;                  // a run folder, or empty:
  std::string file, predicts;       // a TorchScript file, and score, clean or noise
  std::string covariance = "auto";  // auto, subspace or exact
  std::string device = "auto";
  double sigma = 0;
};

enum class Covariance {
  kLearned,   // the field's own s2
  kSubspace,  // leading eigenpairs, by exact Jacobian-vector products: no matrix, no diagonal
  kExact      // the whole Jacobian of s1
};

const char* covariance_name(Covariance value);  // "learned", "subspace", "exact"

struct Denoiser {
  std::shared_ptr<const score::ScoreField> field;
  std::shared_ptr<const training::Run> run;  // null for a file
  std::string name;                          // of the folder or file
  std::vector<int64_t> image_shape;          // {channels, height, width}, or empty for vectors
  at::Device device = at::kCPU;
  Covariance covariance = Covariance::kLearned;

  bool has_variance() const { return covariance != Covariance::kSubspace; }
};

// Opens it for samples like those of `input`; a network of a file is tried on its first two, at the
// noise level asked for.
// Errors: std::invalid_argument naming the option: a run and a file, or neither; another number of
// coordinates than the run's; a covariance that there is none of, or that is too large (exact: D²
// numbers a sample); what score::TorchScriptField says of the file.
Denoiser open_denoiser(const DenoiserRequest& request, const data::Dataset& input);

struct DenoisedSamples {
  posterior::DenoiseResult posterior;  // on the CPU
  // Negative part of an exact covariance against its positive one, summed over eigenvalues, the
  // largest over blocks; drawn samples leave it out. Only where samples were drawn from one.
  std::optional<double> negative_part;
};

// The posterior at rows x [N, D] of a noise level, x on the CPU, in blocks, with a progress bar.
// Errors: std::domain_error for a mean that is not finite, naming sample and coordinate.
DenoisedSamples denoise_samples(const Denoiser& denoiser, const at::Tensor& x, double sigma,
                                const posterior::DenoiseOptions& options);

// What to tell a user of a denoiser without standard deviations; "" where it has them.
std::string covariance_notice(const Denoiser& denoiser);

}  // namespace scorejet::apps
