// The pictures of the denoising experiment. Change their columns here.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "reproduce/denoising/denoising_methods.h"

namespace scorejet::reproduce {

// Clean, noisy, mean, |error|, standard deviations, variances (the covariance's diagonal) and the
// leading components, an image a row. noisy, clean [N, D].
void draw_denoised(const std::filesystem::path& path, const Posterior& posteriors,
                   const at::Tensor& clean, const at::Tensor& noisy,
                   const std::vector<int64_t>& image_shape, double sigma);

// One image a band: a row a component, mean + t √λ v for t = −3 .. 3.
void draw_walk(const std::filesystem::path& path, const Posterior& posteriors,
               const std::vector<int64_t>& image_shape, double sigma);

// Mean eigenvalues against their number, a panel a sigma, a line a method.
struct Spectrum {
  double sigma = 0;
  std::string method;
  std::vector<double> values;
};
void draw_spectra(const std::filesystem::path& path, const std::vector<Spectrum>& spectra);

}  // namespace scorejet::reproduce
