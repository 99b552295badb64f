#include "src/posterior/noise_level.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "src/base/check.h"

namespace scorejet::posterior {
namespace {

constexpr const char* kNoiseWhere = "posterior::estimate_noise";
constexpr int64_t kLeastSide = 8, kLargestPatch = 8, kMaxPatches = 1 << 16;
constexpr double kPixelsPerDimension = 36, kRounding = 1e-13;

// Eigenvalues of the covariance of the image's patches, ascending.
at::Tensor patch_spectrum(const at::Tensor& image, int64_t side) {
  const double places = static_cast<double>(image.size(1) * image.size(2));
  const auto step = static_cast<int64_t>(std::ceil(std::sqrt(places / kMaxPatches)));
  at::Tensor patches = image.unfold(1, side, step).unfold(2, side, step);  // [C, h, w, side, side]
  patches = patches.permute({1, 2, 0, 3, 4}).flatten(2).flatten(0, 1).to(at::kDouble);
  patches = patches - patches.mean(0, true);
  return at::linalg_eigvalsh(at::matmul(patches.t(), patches) /
                             static_cast<double>(patches.size(0)));
}

}  // namespace

double estimate_noise(const at::Tensor& image) {
  base::check_shape(kNoiseWhere, "image", image, {-1, -1, -1});
  base::check_finite(kNoiseWhere, "image", image);
  const int64_t channels = image.size(0), height = image.size(1), width = image.size(2);
  if (height < kLeastSide || width < kLeastSide) {
    base::fail_argument(kNoiseWhere, "image must have at least {} x {} pixels; got {} x {}",
                        kLeastSide, kLeastSide, height, width);
  }
  const double pixels = static_cast<double>(height * width);
  const auto affordable = static_cast<int64_t>(
      std::sqrt(pixels / (kPixelsPerDimension * static_cast<double>(channels))));
  const at::Tensor spectrum =
      patch_spectrum(image, std::clamp<int64_t>(affordable, 2, kLargestPatch));
  const auto* values = spectrum.data_ptr<double>();
  const int64_t count = spectrum.size(0);
  double sum = spectrum.sum().item<double>();
  double variance = 0;
  for (int64_t kept = count; kept > 0; --kept) {
    variance = sum / static_cast<double>(kept);
    if (variance <= values[kept / 2]) break;  // as many above the mean as below it
    sum -= values[kept - 1];
  }
  // Less than a hundredth of a 16-bit file's own rounding is this computation's, and no noise.
  return variance > kRounding * image.square().max().item<double>() ? std::sqrt(variance) : 0.0;
}

}  // namespace scorejet::posterior
