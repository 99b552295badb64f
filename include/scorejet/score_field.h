// The seam between whatever knows a score and whatever uses one.
// A trained model, an analytic density or anyone's code derives from ScoreField; the posterior and
// the samplers know nothing else. Add an adapter as a new file in this folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "scorejet/symmetric_operator.h"
#include "scorejet/symmetric_tensor.h"

namespace scorejet::score {

// The derivatives of log p_sigma at a batch of points, up to the order asked for.
struct Jet {
  at::Tensor s1;                                     // ∇ log p_sigma, [B, D]
  std::optional<linalg::SymmetricOperator> s2 = {};  // ∇² log p_sigma; present when order >= 2
  std::optional<linalg::SymmetricTensor> s3 = {};    // ∇³ log p_sigma; present when order >= 3
};

class ScoreField {
 public:
  virtual ~ScoreField() = default;

  virtual int64_t dim() const = 0;    // D
  virtual int max_order() const = 0;  // highest order evaluate() can give

  // The jet of log p_sigma = log (p * N(0, sigma² I)) at x.
  // Shapes: x [B, D]; sigma [B] or a scalar, in units of x. Errors: std::invalid_argument for
  // shapes or an order that the field does not have; std::domain_error for sigma out of range,
  // NaN or infinity in x (naming the row).
  virtual Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const = 0;

  Jet evaluate(const at::Tensor& x, double sigma, int order) const;

  // log p_sigma(x) up to a constant, [B], where has_log_density(): densities know it, learned
  // scores do not. Shapes: as evaluate(). Errors: std::invalid_argument where it is not known.
  virtual bool has_log_density() const { return false; }
  virtual at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const;
};

// A pointer to `field` that does not own it: `field` must outlive every use.
std::shared_ptr<const ScoreField> borrow(const ScoreField& field);

// sigma as [B] with x's dtype and device. `where` names the caller in errors; zero is allowed only
// where `allow_zero` (densities that have a score without noise).
at::Tensor broadcast_sigma(const char* where, const at::Tensor& x, const at::Tensor& sigma,
                           bool allow_zero = false);

}  // namespace scorejet::score
