// What a step of a run sees: samples, noise and σ, drawn from (seed, stream, step) alone. Another
// schedule of σ is a change to draw_batch().
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/dataset.h"
#include "scorejet/run_config.h"
#include "src/training/noisy_batch.h"

namespace scorejet::training {

// The clean samples, noise and σ of step `step`: a pure function of (train.seed, step). A range of
// σ is covered evenly in every batch, in ln σ, but for the ends, which come up twice as often: each
// is learned from one side only.
NoisyBatch draw_batch(const RunConfig& config, const data::Dataset& train, int64_t step,
                      int64_t size, const char* stream);

// To an accelerator from pinned memory, so that nothing waits for the copy.
NoisyBatch to_device(const NoisyBatch& batch, at::Device device);

}  // namespace scorejet::training
