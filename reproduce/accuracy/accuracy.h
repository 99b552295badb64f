// The accuracy table (after Meng et al. 2021, table 1): how far learned second- and third-order
// scores are from the exact ones, against differentiating a learned score of the order below.
// Change the problems' budgets and the methods in accuracy_tasks.cc, what is written in
// accuracy.cc.
#pragma once

#include "reproduce/reproduce.h"
#include "reproduce/shared/workers.h"

namespace scorejet::reproduce {

// One training and its evaluation, as a row without its result: problem, sigma, method, rank, seed.
struct AccuracyTask {
  nlohmann::ordered_json row;
  Task task;
};

// The result of a task: error and zero_error (mean squared Frobenius norms of ŝ − s and s, for
// diagonal problems of their diagonals, on fresh noisy points), s1_error, not_positive (the share
// of points whose posterior covariance σ²I + σ⁴ŝ2 is not positive definite; order two),
// train_seconds.
std::vector<AccuracyTask> second_order_tasks(const ReproduceOptions& options);
// The same with s1 left as it is after a tenth of the steps.
std::vector<AccuracyTask> early_tasks(const ReproduceOptions& options);
// s3 learned beside s1 and s2, with autodiff_error, that of the learned s2's derivative, and
// rare_share, the part of zero_error that the thousandth of the points with the largest s3 carry.
std::vector<AccuracyTask> third_order_tasks(const ReproduceOptions& options);

}  // namespace scorejet::reproduce
