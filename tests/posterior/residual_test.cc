// Error measures of images against the slow obvious forms.
#include "src/posterior/residual.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

namespace scorejet::posterior {
namespace {

// Structural similarity at every place of the window, by loops (Wang et al. 2004, equations 13-17).
double obvious_similarity(const at::Tensor& x, const at::Tensor& y) {  // [H, W]
  double weights[11][11], total = 0;
  for (int i = 0; i < 11; ++i) {
    for (int j = 0; j < 11; ++j) {
      weights[i][j] = std::exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2 * 1.5 * 1.5));
      total += weights[i][j];
    }
  }
  double sum = 0;
  int64_t count = 0;
  for (int64_t top = 0; top + 11 <= x.size(0); ++top) {
    for (int64_t left = 0; left + 11 <= x.size(1); ++left, ++count) {
      double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
      for (int i = 0; i < 11; ++i) {
        for (int j = 0; j < 11; ++j) {
          const double w = weights[i][j] / total, a = x[top + i][left + j].item<double>(),
                       b = y[top + i][left + j].item<double>();
          mx += w * a, my += w * b, xx += w * a * a, yy += w * b * b, xy += w * a * b;
        }
      }
      sum += (2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4) /
             ((mx * mx + my * my + 1e-4) * (xx - mx * mx + yy - my * my + 9e-4));
    }
  }
  return sum / static_cast<double>(count);
}

TEST(StructuralSimilarity, EqualsItsDefinition) {
  torch::manual_seed(61);
  const at::Tensor clean = at::rand({2, 2, 13, 12}, at::kDouble);
  const at::Tensor other = clean + 0.2 * at::randn({2, 2, 13, 12}, at::kDouble);
  const at::Tensor found = structural_similarity(clean.flatten(1), other.flatten(1), {2, 13, 12});
  for (int64_t n = 0; n < 2; ++n) {
    const double expected = 0.5 * (obvious_similarity(clean[n][0], other[n][0]) +
                                   obvious_similarity(clean[n][1], other[n][1]));
    EXPECT_NEAR(found[n].item<double>(), expected, 1e-10);
  }
  const at::Tensor same = structural_similarity(clean.flatten(1), clean.flatten(1), {2, 13, 12});
  EXPECT_NEAR(same.min().item<double>(), 1, 1e-12);
  EXPECT_THROW(structural_similarity(at::rand({1, 100}), at::rand({1, 100}), {1, 10, 10}),
               std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::posterior
