// A trained (or trainable) score: network + preconditioning + parameterisation of s2, as a
// ScoreField. Change how raw network outputs become s1 and s2 in score_model.cc, and nowhere else.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "scorejet/nets/network.h"
#include "scorejet/score/score_field.h"

namespace scorejet::models {

// How the raw outputs of the second-order head become s2 = diag(a) + B Bᵀ.
enum class Parameterisation {
  kPsd,  // a = −1/(σ² + v), v > 0: σ²I + σ⁴ s2 is positive definite for every σ, by construction
  kFree  // a unconstrained (Meng et al. 2021)
};

const char* parameterisation_name(Parameterisation value);  // "psd", "free"
// Errors: std::invalid_argument naming the text and the names that exist.
Parameterisation parse_parameterisation(const std::string& text);

struct ScoreModelOptions {
  nets::NetworkOptions network;
  Parameterisation parameterisation = Parameterisation::kPsd;
};

// Math: with data mean μ and variance V (per coordinate), c_out² = σ²V/(σ²+V) and network outputs
// F, d, b at the scaled input (x − μ)/√(V + σ²) and ln(σ)/4,
//   s1 = −(x − μ)/(V + σ²) + (c_out/σ²) F                         (Karras et al. 2022, as a score)
//   psd:  v = V softplus(d + ln(e−1)) + 1e-5 σ²,  a = −1/(σ² + v)
//   free: a = −1/(σ² + V) + (c_out²/σ⁴) d
//   B = (c_out/σ²) β(b/√r), β(u) = u/√(1 + (u/4)²), so that |σ² B_ij| < 4 c_out always.
// Full s2 (small D): free: diag(−1/(σ²+V)) + (c_out c_outᵀ/σ⁴) ∘ (b + bᵀ)/2;
//   psd: Cov = 1e-5 σ² I + L Lᵀ with L = diag(c_out)(I + b/√D).
class ScoreModel : public score::ScoreField {
 public:
  // data_mean, data_variance [D]: of the training data; variance > 0.
  // Errors: as nets::make_network; std::invalid_argument for shapes; std::domain_error for a
  // variance that is not positive (a constant data set).
  ScoreModel(const ScoreModelOptions& options, const at::Tensor& data_mean,
             const at::Tensor& data_variance);

  int64_t dim() const override { return options_.network.dim; }
  int max_order() const override {
    return options_.network.hessian == nets::Hessian::kNone ? 1 : 2;
  }
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  // evaluate() in two halves, for training: the features, then each order from its own.
  // sigma [B].
  nets::Network::Features features(const at::Tensor& x, const at::Tensor& sigma, int order) const;
  at::Tensor first_order(const at::Tensor& features, const at::Tensor& x,
                         const at::Tensor& sigma) const;
  linalg::SymmetricOperator second_order(const at::Tensor& features, const at::Tensor& sigma) const;

  // mean over coordinates of c_out(σ)², [B]: the variance that the preconditioner leaves for the
  // network to explain; losses are weighted by its powers.
  at::Tensor residual_variance(const at::Tensor& sigma) const;

  const ScoreModelOptions& options() const { return options_; }
  nets::Network& network() const { return *network_; }
  const at::Tensor& data_mean() const { return mean_; }
  const at::Tensor& data_variance() const { return variance_; }
  void to(at::Device device);

 private:
  at::Tensor output_scale(const at::Tensor& sigma) const;  // c_out, [B, D]

  ScoreModelOptions options_;
  at::Tensor mean_, variance_;  // [D]
  std::shared_ptr<nets::Network> network_;
};

}  // namespace scorejet::models
