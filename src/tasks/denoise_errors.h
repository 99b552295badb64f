// What a denoiser got wrong where the clean input is known, and how much of it lay in the leading
// components; the training set that such figures are compared with. Add a measure of error here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "scorejet/dataset.h"
#include "scorejet/tasks.h"
#include "src/tasks/denoiser.h"

namespace scorejet::tasks {

// The run's training set, or that of the data set whose test set the input is; none for files.
std::optional<data::Dataset> training_set(const Denoiser& denoiser, const std::string& input);

// Adds the errors of the noisy input and of the mean: PSNR of images, squared error of vectors.
void put_errors(nlohmann::ordered_json& metrics, const Denoiser& denoiser,
                const DenoisedInput& input, const at::Tensor& mean);

// Adds the share of the residual's energy in the posterior's components.
void put_residual_energy(nlohmann::ordered_json& metrics, const DenoisedInput& input,
                         const posterior::Posterior& result);

// Adds that share in as many components of a PCA of the residuals that this denoiser leaves on
// training samples.
void put_baseline(nlohmann::ordered_json& metrics, const Denoiser& denoiser,
                  const DenoisedInput& input, const posterior::Posterior& result,
                  const data::Dataset& train, uint64_t seed, const base::Listener& listener);

// A posterior mean is never further from the noisy point than the noise is, in the mean over
// samples, nor from the clean one: what is has another prediction than was said, or other units.
// What to tell a user of such a mean; "" where there is nothing.
std::string mean_notice(const Denoiser& denoiser, const std::string& predicts,
                        const DenoisedInput& input, const at::Tensor& mean);

}  // namespace scorejet::tasks
