// A trained (or trainable) score: network + preconditioning + parameterisation of s2 and s3, as a
// ScoreField. Change how raw network outputs become scores in src/models/score_model.cc, and
// nowhere else.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "scorejet/network_options.h"
#include "scorejet/score_field.h"

// The library's own: src/nets/network.h.
namespace scorejet::nets {
struct Features;
class Network;
class Resizable;
}  // namespace scorejet::nets

namespace scorejet::models {

// How the raw outputs of the second-order head become s2 = diag(a) + B Bᵀ.
enum class Parameterisation {
  kPsd,  // a = −1/(σ² + v), v > 0: σ²I + σ⁴ s2 is positive definite for every σ, by construction
  kFree  // a unconstrained (Meng et al. 2021)
};

const char* parameterisation_name(Parameterisation value);  // "psd", "free"

// In what units the network answers: the size that its outputs must take as σ → 0.
enum class OutputScale {
  kNoise,  // of the noise: for data near thin sets (images), where σ² s2 stays of order one
  kData    // of the data: for densities smooth on the scale of σ, where s1 and s2 stay bounded
};

const char* output_scale_name(OutputScale value);  // "noise", "data"

struct ScoreModelOptions {
  nets::NetworkOptions network;
  Parameterisation parameterisation = Parameterisation::kPsd;
  OutputScale scale = OutputScale::kNoise;
  std::string given_first;  // names the s1 that the model is given; empty: it learns one

  // Of the network and of these; a checkpoint holds them all (training/checkpoint.h).
  base::Settings settings() {
    base::Settings all = network.settings();
    base::append(
        all, {{"model.parameterisation",
               base::Choice(parameterisation, {Parameterisation::kPsd, Parameterisation::kFree},
                            parameterisation_name),
               "of s2; psd: the posterior covariance is positive definite by construction"},
              {"model.scale",
               base::Choice(scale, {OutputScale::kNoise, OutputScale::kData}, output_scale_name),
               "size of the network's outputs as sigma shrinks: that of the noise (images) or of "
               "the data (smooth densities)",
               {},
               "noise"}});
    return all;
  }
};

// Math: with data mean μ and variance V (per coordinate), c_out² = σ²V/(σ²+V), e = c_out/σ²,
// g = −1/(σ²+V), ρ = 1 (noise) or σ/√V (data), and network outputs F, d, b at the scaled input
// (x − μ)/√(V + σ²) and ln(σ)/4,
//   s1 = g (x − μ) + e ρ F                                        (Karras et al. 2022, as a score)
//   low rank: s2 = diag(a) + B Bᵀ
//     noise: B = e β(b/√r), β(u) = u/√(1 + (u/4)²), so that |σ² B_ij| < 4 c_out;  data: B = e ρ b
//     psd:  a = −1/(σ² + v), v = V softplus(d + ln(e−1)) + 1e-5 σ²;   free: a = g + e² ρ² d
//   With δ = 1e-5, a floor under the variance that does not move it where the network says nothing
//   (an offset of the curvature, δ/σ², would swamp that of wide directions):
//   diagonal: a = g + e² ρ² d (free); psd: a = g + (1 − δ) e² elu(ρ² d), so that the posterior
//     variance is c_out² (1 + (1 − δ) elu(ρ² d)) >= δ c_out²
//   full (small D), with m = ρ² b/√D:
//     free: s2 = diag(g) + e eᵀ ∘ (m + mᵀ);   psd: Cov = (1 − δ) L Lᵀ + δ diag(c_out²),
//     L = diag(c_out)(I + m)
//   third order, outputs d, γ, b: c = (e ρ)³ d, and low rank
//     s3 = √D Σ_j γ_j w_j ⊗ w_j ⊗ w_j + diag3(c), w_j = e ρ ∘ b_j/√(D/4 + ‖b_j‖²).
//     The pairs (γ, w) and (γ/t³, t w) mean the same: w stays below one size, so that a term's size
//     is γ's, whose gradient does not vanish at s3 = 0, where training starts with γ = d = 0. (Not
//     b/‖b‖: where b passes zero its direction jumps, and s3 must have derivatives.)
//     full (small D): s3_ikl = (e ρ)_i (e ρ)_k (e ρ)_l t_ikl, t symmetric, its entries the outputs.
class ScoreModel : public score::ScoreField {
 public:
  // data_mean, data_variance [D]: of the training data; variance > 0. With `first` s1 is that
  // field's, on the device where the model will be, and the network learns the orders above it.
  // Errors: as nets::make_network; std::invalid_argument for shapes, and for a `first` without a
  // name in the options or the other way round; std::domain_error for a variance that is not
  // positive (a constant data set).
  ScoreModel(const ScoreModelOptions& options, const at::Tensor& data_mean,
             const at::Tensor& data_variance,
             std::shared_ptr<const score::ScoreField> first = nullptr);

  int64_t dim() const override { return options_.network.dim; }
  int max_order() const override {
    if (options_.network.s3 != nets::Structure::kNone) return 3;
    return options_.network.s2 == nets::Structure::kNone ? 1 : 2;
  }
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  // evaluate() in two halves, for training: the features, then each order from its own.
  // sigma [B].
  nets::Features features(const at::Tensor& x, const at::Tensor& sigma, int order) const;
  at::Tensor first_order(const at::Tensor& features, const at::Tensor& x,
                         const at::Tensor& sigma) const;
  linalg::SymmetricOperator second_order(const at::Tensor& features, const at::Tensor& sigma) const;
  linalg::SymmetricTensor third_order(const at::Tensor& features, const at::Tensor& sigma) const;
  // features().third alone.
  at::Tensor third_features(const at::Tensor& x, const at::Tensor& sigma) const;

  // mean over coordinates of (e ρ)², [B]: the squared size of what the preconditioner leaves for
  // the network to explain in s1. Losses of order n are divided by its n-th power.
  at::Tensor residual_scale(const at::Tensor& sigma) const;
  // ‖I − C‖²/D, [B], with C = I + σ² s2 of a Gaussian with the data's variances: mean (σ²/(V +
  // σ²))².
  at::Tensor noise_share(const at::Tensor& sigma) const;

  // The same model, its weights shared, on images of another size (a convolutional network is one
  // of every size; the moments of the data are those of a channel). A low-rank third order is left
  // out, for its terms are weighed by the whole picture: then max_order() is 2.
  // On larger images than the trained ones the diagonal of s2 keeps its meaning, but a low-rank
  // factor then links pixels further apart than training ever saw: the leading eigenvalues of the
  // posterior covariance grow with the number of pixels and are too large.
  // Errors: std::invalid_argument for a network that is not convolutional, a size that its stride
  // does not divide, and data moments that differ between the pixels of a channel.
  ScoreModel resized(int64_t height, int64_t width) const;
  // The network as one of every size. Errors: std::invalid_argument, naming the size asked for,
  // where it is none.
  const nets::Resizable& resizable(int64_t height, int64_t width) const;

  const ScoreModelOptions& options() const { return options_; }
  bool learns_first() const { return first_ == nullptr; }
  nets::Network& network() const { return *network_; }
  const at::Tensor& data_mean() const { return mean_; }
  const at::Tensor& data_variance() const { return variance_; }
  void to(at::Device device);

 private:
  // What maps network outputs to scores at one σ each; all [B, D].
  struct Preconditioner {
    at::Tensor noise_variance;  // σ², [B, 1]
    at::Tensor gaussian;        // g
    at::Tensor scale;           // e
    at::Tensor relative;        // ρ
  };
  Preconditioner precondition(const at::Tensor& sigma) const;
  at::Tensor scaled_input(const at::Tensor& x, const at::Tensor& sigma) const;

  ScoreModelOptions options_;
  at::Tensor mean_, variance_;  // [D]
  at::Tensor third_index_;      // [D³]: which of the full third order's entries each is
  std::shared_ptr<nets::Network> network_;
  std::shared_ptr<const score::ScoreField> first_;  // the s1 given; null: learned
};

// The model as a field on images of any height and width: itself, resized, or resized to the next
// multiples of its stride and padded (score/padded_field.h). Errors: std::invalid_argument for a
// model of vectors, and as resized().
std::shared_ptr<const score::ScoreField> field_of_size(const ScoreModel& model, int64_t height,
                                                       int64_t width);

}  // namespace scorejet::models
