// What an experiment on chains of images counts as a change of class, which step sizes it calls
// good and which of them the best.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "reproduce/shared/table.h"

namespace scorejet::reproduce {

struct ClassChanges {
  at::Tensor count;  // [C] int64
  at::Tensor first;  // [C] int64: the judged position at which the first new class appeared, or -1
};

// A class is confirmed where it is the likeliest, with a confidence above 1/2, at two judged
// positions in a row; a change is a confirmed class other than the one confirmed before it. A
// judge's flicker is therefore no change, nor is a chain that a doubtful picture leads back to its
// class. Shapes: labels [C, N] int64, confidence [C, N].
ClassChanges count_changes(const at::Tensor& labels, const at::Tensor& confidence);

// How far a chain's mean confidence may lie below a reference's, its mean σ²‖s1‖²/D from it, and
// the entropy of its classes below it (nats: a tenth fewer classes).
inline constexpr double kConfidenceTolerance = 0.02;
inline constexpr double kScoreNormTolerance = 0.05;
inline constexpr double kEntropyTolerance = 0.1;

// Adds to a row of kernel and step size three verdicts, none of them true where a chain was
// stopped: "good", a confidence not lower than denoised noisy test images have, within the
// tolerance; "strictly_good", and their score_norm; "faithful", both and class_entropy, against
// `stationary`, adjusted chains on the same learned score: what is left when the model's own faults
// are set aside. A higher score_norm means noise that is too strong, a lower one positions that are
// too smooth; a lower entropy chains that gather in few classes.
void judge_quality(nlohmann::ordered_json& row, const nlohmann::ordered_json& test_images,
                   const nlohmann::ordered_json& stationary);

// The row of `kernel` with the most changes_per_1000 among those whose entry `verdict` is true;
// null if there is none.
const nlohmann::ordered_json* best_row(const Rows& rows, const std::string& kernel,
                                       const std::string& verdict);

// Of a survey of ascending noise levels the largest at which the judge keeps at least 0.7 of its
// accuracy on clean images (below, changes of its verdict would be mostly its errors); the smallest
// if there is none.
inline constexpr double kKeptAccuracy = 0.7;
size_t choose_sigma(const Rows& survey);

}  // namespace scorejet::reproduce
