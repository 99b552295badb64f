#include "src/training/loss_ledger.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <vector>

namespace scorejet::training {

LossLedger::LossLedger(const models::ScoreModel& model, at::Device device)
    : sum_(at::zeros({6}, at::TensorOptions(at::kDouble).device(device))),
      bad_(at::full({7}, -1.0, sum_.options())) {
  // Losses and gradients of every order that the model has.
  std::vector<int64_t> used{0};
  if (model.learns_first()) used.push_back(3);
  if (model.max_order() >= 2) used.insert(used.end(), {1, 4});
  if (model.max_order() >= 3) used.insert(used.end(), {2, 5});
  used_ = at::tensor(used).to(device);
}

void LossLedger::enter(int64_t step, const at::Tensor& values) {
  const at::Tensor finite = at::isfinite(values.index_select(0, used_).sum());
  const at::Tensor entry =
      at::cat({at::full({1}, static_cast<double>(step), values.options()), values});
  bad_ = at::where(finite.logical_or(bad_[0] >= 0), bad_, entry);
  sum_.add_(values);
  last_ = values;
  ++count_;
}

std::optional<std::pair<int64_t, StepLosses>> LossLedger::first_bad() const {
  const auto step = bad_[0].item<int64_t>();
  if (step < 0) return std::nullopt;
  return std::pair{step, read_losses(bad_.narrow(0, 1, 6))};
}

StepLosses LossLedger::mean() const {
  StepLosses mean = read_losses(sum_ / static_cast<double>(count_));
  const StepLosses last = read_losses(last_);
  mean.first_gradient = last.first_gradient;
  mean.second_gradient = last.second_gradient;
  mean.third_gradient = last.third_gradient;
  return mean;
}

StepLosses LossLedger::take_mean() {
  const StepLosses taken = mean();
  sum_.zero_();
  count_ = 0;
  return taken;
}

}  // namespace scorejet::training
