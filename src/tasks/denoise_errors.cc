#include "src/tasks/denoise_errors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/base/noise.h"
#include "src/base/seed.h"
#include "src/posterior/residual.h"

namespace scorejet::tasks {
namespace {

constexpr int64_t kBaselineSamples = 5000;  // training samples behind the PCA baseline

// Principal directions of the residuals that this denoiser leaves on training samples.
at::Tensor baseline_directions(const Denoiser& denoiser, const data::Dataset& train, double sigma,
                               uint64_t seed, int64_t k, const base::Listener& listener) {
  const at::Tensor clean = train.slice(0, std::min(kBaselineSamples, train.size()));
  const at::Tensor noisy =
      base::add_noise(clean, sigma, base::make_generator(seed, "baseline noise"));
  Denoiser means = denoiser;
  means.covariance = posterior::Covariance::kSubspace;  // which, of no components, is nothing
  base::Listener all;                                   // does not stop half-way
  all.progress = listener.progress;
  return posterior::principal_directions(clean - denoise_samples(means, noisy, sigma, {}, all).mean,
                                         k);
}

}  // namespace

std::optional<data::Dataset> training_set(const Denoiser& denoiser, const std::string& input) {
  training::DataConfig data;
  if (denoiser.run) {
    data = denoiser.run->config.data;
  } else {
    const std::vector<std::string>& names = data::dataset_names();
    if (std::find(names.begin(), names.end(), input) == names.end()) return std::nullopt;
    data.name = input;
  }
  return data::load_splits(data.name, data.dir, data.validation).train;
}

void put_errors(nlohmann::ordered_json& metrics, const Denoiser& denoiser,
                const DenoisedInput& input, const at::Tensor& mean) {
  if (denoiser.image_shape.empty()) {  // no peak to speak of
    metrics["mse_noisy"] = (input.clean - input.noisy).square().mean().item<double>();
    metrics["mse_denoised"] = (input.clean - mean).square().mean().item<double>();
  } else {
    metrics["psnr_noisy"] = posterior::peak_signal_to_noise(input.clean, input.noisy);
    metrics["psnr_denoised"] = posterior::peak_signal_to_noise(input.clean, mean);
  }
}

void put_residual_energy(nlohmann::ordered_json& metrics, const DenoisedInput& input,
                         const posterior::Posterior& result) {
  metrics["residual_energy_top_k"] =
      posterior::energy_share(input.clean - result.mean, result.components).mean().item<double>();
  metrics["k"] = result.components.size(1);
}

void put_baseline(nlohmann::ordered_json& metrics, const Denoiser& denoiser,
                  const DenoisedInput& input, const posterior::Posterior& result,
                  const data::Dataset& train, uint64_t seed, const base::Listener& listener) {
  const at::Tensor directions =
      baseline_directions(denoiser, train, input.sigma, seed, result.components.size(1), listener);
  metrics["residual_energy_pca_k"] =
      posterior::energy_share(input.clean - result.mean, directions).mean().item<double>();
}

std::string mean_notice(const Denoiser& denoiser, const std::string& predicts,
                        const DenoisedInput& input, const at::Tensor& mean) {
  constexpr double kSlack = 1.1;  // few samples, and networks that are not quite right
  const auto distance = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).square().mean().item<double>();
  };
  // The noise as it was drawn, where it is known: of few numbers it may be larger than sigma.
  double noise = input.sigma * input.sigma;
  if (input.clean.defined()) noise = std::max(noise, distance(input.clean, input.noisy));
  const auto far_from = [&](const at::Tensor& x) {
    return x.defined() && distance(x, mean) > kSlack * noise;
  };
  const bool worse = far_from(input.clean);
  if (!worse && !far_from(input.noisy)) return "";
  const std::string hint =
      denoiser.run ? ""
                   : fmt::format(" (is --predicts {} right, and the units of the data?)", predicts);
  return fmt::format("the mean is further from the {} than the noise{}",
                     worse ? "clean input" : "noisy input", hint);
}

}  // namespace scorejet::tasks
