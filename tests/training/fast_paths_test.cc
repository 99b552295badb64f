// Every fast path of the list is taken by some step or posterior, and its plain form gives the
// same.
#include "src/base/fast_paths.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "src/linalg/lanczos.h"
#include "src/linalg/matrix_function.h"
#include "src/linalg/row_squares.h"
#include "src/nets/network.h"
#include "src/training/optimiser.h"
#include "src/training/step.h"
#include "tests/models/small_model.h"

namespace scorejet::training {
namespace {

using base::FastPath;

// Plain forms in place of one path (kCount: of all) while it lives.
class PlainForms {
 public:
  explicit PlainForms(FastPath which) {
    for (const auto& info : base::fast_paths()) {
      before_.push_back(base::fast_path_switch(info.path).on);
      if (which == FastPath::kCount || which == info.path) {
        base::fast_path_switch(info.path).on = false;
      }
    }
  }
  ~PlainForms() {
    for (const auto& info : base::fast_paths()) {
      base::fast_path_switch(info.path).on = before_[static_cast<size_t>(info.path)];
    }
  }
  PlainForms(const PlainForms&) = delete;
  PlainForms& operator=(const PlainForms&) = delete;

 private:
  std::vector<bool> before_;
};

int64_t uses_of(FastPath path) { return base::fast_path_switch(path).taken; }

// What a step and a posterior give, as one vector of numbers.
at::Tensor step_and_posterior(const std::string& kind) {
  torch::manual_seed(3);
  models::ScoreModelOptions options = testing::small_options(kind, 8);
  options.network.rank = 3;
  models::ScoreModel model = testing::perturbed_model(options, 0.1);
  FlatParameters parameters(model.network());
  const NoisyBatch batch{at::randn({4, 64}), at::randn({4, 64}), at::full({4}, 0.4)};
  AdamState adam = make_adam_state(parameters.values());
  std::vector<GradientScale> clips;
  const at::Tensor losses =
      compute_gradients(model, objectives::LossOptions{}, batch, parameters, clips);
  const at::Tensor gradients = parameters.gradients().clone();
  // Adam's step divides by the gradient's size: from the same gradient, or rounding is enlarged.
  adam_step(adam, parameters.values(), at::ones_like(gradients) * 0.5, 1e-2, 0.9, clips);
  torch::NoGradGuard no_grad;
  const score::Jet jet = model.evaluate(batch.x, batch.sigma, 2);
  const auto pairs = linalg::top_eigenpairs(*jet.s2, 2, {});
  const auto decay = [](const at::Tensor& values) { return values.clamp_max(0).mul(0.01).exp(); };
  const auto moved = linalg::apply_functions(*jet.s2, {decay}, jet.s1.unsqueeze(-1));
  return at::cat({losses.reshape({-1}).nan_to_num(0), gradients.to(at::kDouble),
                  adam.average.to(at::kDouble), jet.s1.reshape({-1}).to(at::kDouble),
                  linalg::row_squares(jet.s2->factor()).reshape({-1}).to(at::kDouble),
                  pairs.values.reshape({-1}).to(at::kDouble),
                  moved.values.reshape({-1}).to(at::kDouble)});
}

at::Tensor both_networks() {
  return at::cat({step_and_posterior("mlp"), step_and_posterior("unet")});
}

double relative_distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

TEST(FastPaths, EachIsTakenAndGivesWhatItsPlainFormGives) {
  const at::Tensor plain = [] {
    const PlainForms all(FastPath::kCount);
    return both_networks();
  }();
  std::vector<int64_t> before;
  for (const auto& info : base::fast_paths()) before.push_back(uses_of(info.path));
  const at::Tensor fused = both_networks();
  EXPECT_LT(relative_distance(fused, plain), 1e-4);  // float32, sums in another order
  for (const auto& info : base::fast_paths()) {
    EXPECT_GT(uses_of(info.path), before[static_cast<size_t>(info.path)]) << info.name;
    const PlainForms one(info.path);
    const int64_t uses = uses_of(info.path);
    EXPECT_LT(relative_distance(both_networks(), plain), 1e-4) << info.name;
    EXPECT_EQ(uses_of(info.path), uses) << info.name << " was to be off";
  }
  // Control: the comparison sees a thousandth.
  EXPECT_GT(relative_distance(1.001 * fused, plain), 1e-4);
}

TEST(FastPaths, ListHasEachOnceInOrder) {
  ASSERT_EQ(base::fast_paths().size(), static_cast<size_t>(FastPath::kCount));
  for (size_t i = 0; i < base::fast_paths().size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(base::fast_paths()[i].path), i);
  }
}

}  // namespace
}  // namespace scorejet::training
