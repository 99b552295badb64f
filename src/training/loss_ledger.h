// What a run remembers of its steps until it reports them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "scorejet/score_model.h"
#include "src/training/step.h"

namespace scorejet::training {

// Losses between two lines of metrics, kept on the device until they are asked for.
class LossLedger {
 public:
  LossLedger(const models::ScoreModel& model, at::Device device);

  // values: as compute_gradients returns them.
  void enter(int64_t step, const at::Tensor& values);

  // The first step whose losses or gradients were not finite. Waits for the device.
  std::optional<std::pair<int64_t, StepLosses>> first_bad() const;

  // Mean losses since the last take_mean(), and the last step's gradients. Waits for the device.
  StepLosses mean() const;
  StepLosses take_mean();

 private:
  at::Tensor used_;        // which entries there are
  at::Tensor sum_, last_;  // [6]
  at::Tensor bad_;         // step, -1 for none, and its losses
  int64_t count_ = 0;
};

}  // namespace scorejet::training
