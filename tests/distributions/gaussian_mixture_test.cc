#include "scorejet/gaussian_mixture.h"

#include <gtest/gtest.h>

#include "src/base/seed.h"
#include "tests/distributions/autodiff_jet.h"

namespace scorejet::distributions {
namespace {

// Full covariances in four dimensions, one of them singular for sigma >= 0.1.
TEST(GaussianMixture, EveryOrderEqualsAutodiffOfTheLogDensity) {
  const at::TensorOptions options(at::kDouble);
  at::Generator random = base::make_generator(9, "mixture");
  const at::Tensor weights = at::softmax(at::randn({3}, random, options), 0);
  const at::Tensor means = 1.5 * at::randn({3, 4}, random, options);
  const at::Tensor root = 0.5 * at::randn({3, 4, 4}, random, options);
  const at::Tensor regular = root.matmul(root.transpose(1, 2)) + 0.05 * at::eye(4, options);
  at::Tensor flat_root = root.clone();
  flat_root[1].select(1, 2).zero_();
  const at::Tensor singular = flat_root.matmul(flat_root.transpose(1, 2));
  for (const double sigma : {0.0, 0.01, 0.1, 0.5, 2.0}) {
    const GaussianMixture p(weights, means, sigma < 0.1 ? regular : singular);
    const at::Tensor x =
        at::cat({p.sample(20, random), 6 * at::rand({10, 4}, random, options) - 3});
    const auto gaps =
        testing::jet_gaps(p.evaluate(x, sigma, 3), testing::autodiff_jet(p, x, sigma));
    for (size_t n = 0; n < 3; ++n) {
      EXPECT_LT(gaps[n], 1e-8) << "order " << n + 1 << " at sigma " << sigma;
    }
  }
}

}  // namespace
}  // namespace scorejet::distributions
