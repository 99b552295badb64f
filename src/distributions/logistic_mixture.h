// Independent coordinates, each a mixture of logistics: heavy tails, many modes, and scores whose
// every order is diagonal. The noisy density is a one-dimensional integral a coordinate.
#pragma once

#include <memory>
#include <mutex>

#include "scorejet/distribution.h"

namespace scorejet::distributions {

class LogisticMixture : public Distribution {
 public:
  // Coordinate d has density Σ_k w_dk L((x − μ_dk)/s_dk)/s_dk, L(v) = e^−v/(1 + e^−v)².
  // weights (positive, each row sums to 1), locations, scales (positive): [D, K].
  // Computed in float64, whatever the dtype of x. Errors: std::invalid_argument for shapes;
  // std::domain_error for values.
  LogisticMixture(const at::Tensor& weights, const at::Tensor& locations, const at::Tensor& scales);
  ~LogisticMixture() override;

  int64_t dim() const override { return weights_.size(0); }

  // s2 and s3 are diagonal. A batch with one sigma is read from a table of log f and its
  // derivatives, built once a sigma and interpolated by polynomials of degree seven; anything else,
  // and points far outside the data, is integrated directly. Both are within 1e-8 of the integral
  // for sigma up to 30 times the smallest scale.
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const override;
  at::Tensor sample(int64_t count, at::Generator generator) const override;

 private:
  struct Table;

  // log f_sigma and its derivatives up to `order` (at most 6) in coordinate d, [order + 1, N].
  at::Tensor integrate(int64_t d, const at::Tensor& x, const at::Tensor& sigma, int order) const;
  // Orders 1, 2, ... into the elements of `out` [orders, N, D] that `where` [N, D] marks.
  void integrate_where(const at::Tensor& where, const at::Tensor& x, const at::Tensor& sigma,
                       at::Tensor& out) const;
  std::shared_ptr<const Table> table(double sigma) const;

  at::Tensor weights_, locations_, scales_;  // [D, K]
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Table> table_;  // of the sigma used last
};

}  // namespace scorejet::distributions
