// From a noisy batch to the loss of each order: at which points the network is looked at, which
// terms an order's loss is made of, how they are weighed. An optional term is added in
// objectives/terms.cc instead, and called here with the others.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "scorejet/loss_options.h"
#include "scorejet/score_model.h"
#include "src/nets/network.h"
#include "src/objectives/terms.h"
#include "src/training/noisy_batch.h"

namespace scorejet::training {

// Whether variance reduction does anything for samples with at least so much noise: not where its
// control variates have faded out (objectives::variate_coefficient). Without clean points it always
// does, if it is on. Waits for the device.
bool reduces_variance(const models::ScoreModel& model, const objectives::LossOptions& options,
                      double sigma);

// Vectors at each noisy point, and Jᵀ times them, [N', m, D]: first those of the sketch form, then
// those of the leading directions.
struct JacobianProducts {
  at::Tensor v, jv;
  int64_t num_sketch = 0;
};

// s1 and s2 of a batch's points, and the losses made of them: means over the batch, in units of
// what the preconditioner leaves to explain (not yet divided by D), each order's by itself: s1
// within order 2, and s1 and s2 within order 3, are held constant. The same for a training step and
// a validation. While gradients are recorded the graphs of s1 and s2 start at leaves in place of
// the network's features, so that what flows into a trunk can be bounded before it does. A given s1
// is evaluated once, and not differentiated (but for the sketch form). Holds references to all
// three arguments.
class LossTerms {
 public:
  LossTerms(const models::ScoreModel& model, const objectives::LossOptions& options,
            const NoisyBatch& batch);

  at::Tensor first() const;
  at::Tensor second() const;  // of models that have it, as the next
  at::Tensor third() const;   // by features of its own: its graph is apart from those below
  void forget_second() { s2_.reset(); }  // for memory: once no order needs s2 any more

  // While gradients are recorded: the features and the leaves that stand for them.
  const nets::Features& features() const { return features_; }
  const at::Tensor& first_leaf() const { return first_leaf_; }
  const at::Tensor& second_leaf() const { return second_leaf_; }

 private:
  void multiply_jacobian();
  JacobianProducts choose_vectors() const;
  at::Tensor sketch_term() const;
  at::Tensor leading_term() const;
  at::Tensor over_pair(const objectives::Term& term, const at::Tensor& s1) const;
  at::Tensor third_plain(const at::Tensor& s1, const linalg::SymmetricOperator& s2) const;
  at::Tensor third_antithetic(const at::Tensor& s1, const linalg::SymmetricOperator& s2) const;
  linalg::SymmetricTensor third_order(const at::Tensor& x, const at::Tensor& sigma) const;
  score::Jet clean_jet(const at::Tensor& s1, const linalg::SymmetricOperator& s2) const;

  const models::ScoreModel& model_;
  const objectives::LossOptions& options_;
  const NoisyBatch& batch_;
  Evaluations points_;
  at::Tensor scale_;  // what the preconditioner leaves to explain, [B]
  nets::Features features_;
  at::Tensor first_leaf_, second_leaf_;
  at::Tensor s1_;
  std::optional<linalg::SymmetricOperator> s2_;
  JacobianProducts products_;
};

}  // namespace scorejet::training
