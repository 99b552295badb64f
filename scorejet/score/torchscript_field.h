// Anyone's first-order score: a TorchScript file as a ScoreField.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "scorejet/score/score_field.h"

namespace scorejet::score {

// What a network's output means, x the noisy point.
enum class Prediction {
  kScore,  // s1
  kClean,  // E[clean | x] = x + σ² s1 (a denoiser)
  kNoise   // E[z | x], x = clean + σ z; s1 = −output/σ
};
// "score", "clean" or "noise". Errors: std::invalid_argument naming the text and those.
Prediction parse_prediction(const std::string& text);

struct TorchScriptOptions {
  Prediction predicts = Prediction::kScore;
  at::IntArrayRef sample_shape;  // of one sample as the network takes it; its product is D
};

// s1 from a TorchScript module with forward(x) or forward(x, sigma), x [B, *sample_shape], sigma
// [B], returning x's shape. The network is frozen and in evaluation mode; autograd differentiates
// it in x, so that AutodiffField and jacobian_vector_product give its s2.
class TorchScriptField : public ScoreField {
 public:
  // Errors: std::runtime_error when the file cannot be read as TorchScript;
  // std::invalid_argument when its forward takes another number of arguments.
  TorchScriptField(const std::filesystem::path& file, const TorchScriptOptions& options);
  ~TorchScriptField() override;

  int64_t dim() const override { return dim_; }
  int max_order() const override { return 1; }

  // Errors: besides ScoreField's, std::invalid_argument for an output of another shape and
  // std::runtime_error with the network's own message when it fails.
  using ScoreField::evaluate;
  Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

 private:
  struct Module;  // keeps TorchScript out of this header
  std::unique_ptr<Module> module_;
  std::string file_;
  Prediction predicts_;
  std::vector<int64_t> sample_shape_;
  int64_t dim_ = 1;
  bool takes_sigma_ = false;
};

}  // namespace scorejet::score
