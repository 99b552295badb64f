// Images of any size for a field on images of sizes that suit its network: padded by reflection,
// evaluated, narrowed to the image's own pixels. Change how images are padded here.
#pragma once

#include <memory>
#include <vector>

#include "scorejet/score_field.h"

namespace scorejet::score {

// Math: with P the padding at the bottom and the right, x̃ -> (x̃ at mirrored pixels), and R the
// rows of the image's own pixels, s1 = R s1'(P x̃), s2 = R s2'(P x̃) Rᵀ, s3 likewise. Tweedie's
// formula gives from these the mean and covariance of the image's own pixels given the padded image
// (a marginal of the Gaussian posterior). They are not the derivatives of x̃ -> log p'(P x̃).
// The mirror goes through the last pixel without repeating it: padded pixels have the noise's
// variance and no equal neighbours, where replicating the edge would draw streaks without noise,
// which a denoiser takes for part of the image. Padding smaller images than itself, it goes on to
// and fro. Nothing is copied or narrowed when the sizes agree.
class PaddedField : public ScoreField {
 public:
  // inner_shape {C, H, W} with H >= height, W >= width and inner->dim() = C H W.
  // Errors: std::invalid_argument otherwise.
  PaddedField(std::shared_ptr<const ScoreField> inner, const std::vector<int64_t>& inner_shape,
              int64_t height, int64_t width);

  int64_t dim() const override { return dim_; }
  int max_order() const override { return inner_->max_order(); }
  using ScoreField::evaluate;
  Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

 private:
  std::shared_ptr<const ScoreField> inner_;
  int64_t dim_ = 0;
  at::Tensor source_;  // [C H W]: the own pixel that each padded pixel copies
  at::Tensor kept_;    // [C h w]: where the own pixels stand among the padded ones
};

}  // namespace scorejet::score
