// One training step taken apart, each part runnable on its own: what `scorejet bench` and
// bench/training/step_bench.cc time. Change what a part is here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "scorejet/dataset.h"
#include "scorejet/run_config.h"
#include "src/training/flat_parameters.h"
#include "src/training/noisy_batch.h"
#include "src/training/optimiser.h"

namespace scorejet::bench {

struct StepSize {
  std::string network;  // "mlp" or "unet", its other options as a run has them
  int64_t batch, rank;
};

// Of s1 and a low-rank s2 on 28 x 28 grey images of random bytes, centred losses with variance
// reduction: the network is evaluated at three points a sample.
class StepParts {
 public:
  StepParts(const StepSize& size, at::Device device);

  void step();      // a training step, as a run makes it
  void evaluate();  // s1 and s2 of a noisy batch, without a graph

  void draw_batch();    // bytes to numbers, noise and σ
  void forward();       // s1 and s2, with the graph
  void optimise();      // norm, clipping, Adam, average
  void trace();         // keeps the graph of one forward() for those below
  void losses();        // of orders one and two, with their gradient at s1 and s2
  void plain_losses();  // the same in tensor operations
  void backward();      // through the graph kept, from the gradient of losses()

  const models::ScoreModel& model() const { return *model_; }
  int64_t num_parameters() const { return parameters_.size(); }
  int64_t bytes_of_batch() const;  // that draw_batch() reads and writes

 private:
  struct Outputs {
    at::Tensor s1, diagonal, factor;
  };
  Outputs outputs_at(const at::Tensor& x, const at::Tensor& sigma) const;
  void differentiate_losses(bool fused);
  training::NoisyBatch next_batch();

  training::RunConfig config_;
  at::Device device_;
  data::Dataset data_;
  std::unique_ptr<models::ScoreModel> model_;
  training::FlatParameters parameters_;
  training::AdamState adam_;
  training::NoisyBatch batch_;
  at::Tensor points_, levels_;  // of the three evaluations
  Outputs graph_, held_;        // with the graph of the network; cut off from it
  int64_t number_ = 0;          // of the batch
};

}  // namespace scorejet::bench
