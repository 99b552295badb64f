// Anyone's first-order score: a TorchScript file as a ScoreField. Change what such a network may
// look like, and what is said of one that does not, in torchscript_field.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "scorejet/score_field.h"

namespace scorejet::score {

// What a network's output means, x the noisy point.
enum class Prediction {
  kScore,  // s1
  kClean,  // E[clean | x] = x + σ² s1 (a denoiser)
  kNoise   // E[z | x], x = clean + σ z; s1 = −output/σ
};
const char* prediction_name(Prediction value);  // "score", "clean", "noise"
// Errors: std::invalid_argument naming the text and those.
Prediction parse_prediction(const std::string& text);

struct TorchScriptOptions {
  Prediction predicts = Prediction::kScore;
  at::IntArrayRef sample_shape;    // of one sample as the network takes it; its product is D
  at::Device device = {at::kCPU};  // that the network is loaded to; x must be there
};

// s1 from a TorchScript module with forward(x) or forward(x, sigma), x [B, *sample_shape], sigma
// [B], returning x's shape or [B, D]. The network is frozen and in evaluation mode, runs in the
// element type of its own parameters (float16 ones become float32) on a copy of x, without
// TorchScript's optimiser, so that every call of a process and of the next one gives the same bits.
// autograd differentiates it in x, twice if need be: AutodiffField and jacobian_vector_product give
// its s2.
class TorchScriptField : public ScoreField {
 public:
  // Errors: std::runtime_error when the file cannot be read as TorchScript;
  // std::invalid_argument when its forward takes another number of arguments.
  TorchScriptField(const std::filesystem::path& file, const TorchScriptOptions& options);
  ~TorchScriptField() override;

  int64_t dim() const override { return dim_; }
  int max_order() const override { return 1; }

  // Errors: besides ScoreField's, std::invalid_argument for an output of another shape and
  // std::runtime_error with the network's own message when it fails. An output that is not finite
  // is returned as it is: a sampler tells a chain that diverged by it.
  using ScoreField::evaluate;
  Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  // Tries the network on the first two rows of x [N, D], N >= 1, before a long computation.
  // Errors: as evaluate(); std::domain_error for an output that is not finite (naming row and
  // coordinate); std::invalid_argument for a network that gives another output for the same x, for
  // a row that depends on the other rows of its batch, and, with `differentiable`, for one whose
  // output autograd cannot follow to x.
  void probe(const at::Tensor& x, double sigma, bool differentiable) const;

 private:
  struct Module;  // keeps TorchScript out of this header
  at::Tensor run(const at::Tensor& x, const at::Tensor& sigma) const;

  std::unique_ptr<Module> module_;
  std::string file_;
  Prediction predicts_;
  std::vector<int64_t> sample_shape_;
  int64_t dim_ = 1;
  bool takes_sigma_ = false;
};

}  // namespace scorejet::score
