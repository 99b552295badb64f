#include "src/nets/residual_block.h"

#include <ATen/ATen.h>

namespace scorejet::nets {
namespace {

constexpr double kBlockScale = 0.2;  // of the default initialisation of the last convolution

}  // namespace

torch::nn::Conv2d conv3x3(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

ResidualBlock::ResidualBlock(int64_t channels, int64_t condition_width) {
  first_ = register_module("first", conv3x3(channels, channels));
  second_ = register_module("second", conv3x3(channels, channels));
  if (condition_width > 0) {
    condition_ = register_module("condition", torch::nn::Linear(condition_width, 2 * channels));
  }
  at::NoGradGuard no_grad;
  second_->weight.mul_(kBlockScale);
}

at::Tensor ResidualBlock::forward(const at::Tensor& x, const at::Tensor& condition) {
  at::Tensor h = first_->forward(at::silu(x));
  if (condition_) {
    const auto maps = condition_->forward(condition).unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
    h = at::addcmul(maps[1], h, 1 + maps[0]);
  }
  return x + second_->forward(at::silu(h));
}

}  // namespace scorejet::nets
