// The noise estimator on pictures whose noise is known, and where there is none.
#include "src/posterior/noise_level.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "src/base/seed.h"
#include "tests/scratch.h"

namespace scorejet::posterior {
namespace {

using testing::error_of;

// A slope, a wave and an edge: none of it white.
at::Tensor picture(int64_t channels, int64_t height, int64_t width) {
  const at::Tensor y = at::linspace(0, 1, height, at::kDouble).view({1, -1, 1});
  const at::Tensor x = at::linspace(0, 1, width, at::kDouble).view({1, 1, -1});
  const at::Tensor tint = at::linspace(0.5, 1, channels, at::kDouble).view({-1, 1, 1});
  return tint * (0.4 * x + 0.2 * (6 * y).sin() + 0.3 * (x + y > 0.8).to(at::kDouble));
}

at::Tensor noise(const at::Tensor& like, uint64_t seed) {
  return at::randn(like.sizes(), base::make_generator(seed, "noise"), like.options());
}

TEST(NoiseLevel, FindsTheNoiseOfSmoothPictures) {
  struct Case {
    int64_t channels, height, width;
    double tolerance;  // relative
  };
  for (const Case& c : {Case{1, 128, 96, 0.03}, Case{3, 64, 64, 0.08}, Case{3, 32, 32, 0.1},
                        Case{1, 28, 28, 0.15}, Case{1, 8, 8, 0.5}}) {
    const at::Tensor clean = picture(c.channels, c.height, c.width);
    for (double sigma : {0.1, 0.25, 0.5}) {
      const double found = estimate_noise(clean + sigma * noise(clean, 3));
      EXPECT_NEAR(found / sigma, 1, c.tolerance)
          << c.channels << " x " << c.height << " x " << c.width << ", sigma " << sigma;
    }
  }
}

// The standard deviation of the whole picture, the obvious estimate, takes the picture for noise.
TEST(NoiseLevel, PictureIsNotTakenForNoise) {
  const at::Tensor clean = picture(3, 64, 64);
  const at::Tensor noisy = clean + 0.02 * noise(clean, 4);
  EXPECT_NEAR(estimate_noise(noisy), 0.02, 0.002);
  EXPECT_GT(noisy.std().item<double>(), 0.1);
}

TEST(NoiseLevel, ScalesWithThePictureAndIgnoresItsBrightness) {
  const at::Tensor clean = picture(1, 40, 50);
  const at::Tensor noisy = clean + 0.1 * noise(clean, 5);
  const double found = estimate_noise(noisy);
  EXPECT_NEAR(estimate_noise(255 * noisy + 7), 255 * found, 1e-9 * found);
  EXPECT_NEAR(estimate_noise(noisy.transpose(1, 2)), found, 0.02 * found);
  EXPECT_NEAR(estimate_noise(noisy.to(at::kFloat)), found, 1e-4 * found);
}

TEST(NoiseLevel, NoneInAConstantPicture) {
  for (double value : {0.0, 0.3, 1.0, 255.0}) {
    EXPECT_EQ(estimate_noise(at::full({3, 20, 30}, value, at::kDouble)), 0) << value;
    EXPECT_EQ(estimate_noise(at::full({1, 8, 8}, value, at::kFloat)), 0) << value;
  }
}

TEST(NoiseLevel, LargePicturesUseAGridOfPatches) {
  const at::Tensor clean = at::zeros({1, 600, 700}, at::kDouble);
  EXPECT_NEAR(estimate_noise(clean + 0.3 * noise(clean, 6)), 0.3, 0.01);
}

TEST(NoiseLevel, RefusesWhatItCannotJudge) {
  EXPECT_NE(error_of([] {
              estimate_noise(at::zeros({1, 7, 20}));
            }).find("at least 8 x 8"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              estimate_noise(at::zeros({8, 8}));
            }).find("image must have shape"),
            std::string::npos);
  EXPECT_THROW(estimate_noise(at::full({1, 9, 9}, std::numeric_limits<double>::quiet_NaN())),
               std::domain_error);
}

}  // namespace
}  // namespace scorejet::posterior
