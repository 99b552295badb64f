// The linear layer that adds to its weight's gradient in place, against at::linear.
#include "src/nets/direct_linear.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace scorejet::nets {
namespace {

struct Layer {
  at::Tensor x, weight, bias;
};

Layer make_layer(int64_t batch, int64_t in, int64_t out) {
  torch::manual_seed(3);
  const auto leaf = [](at::IntArrayRef shape) {
    return torch::randn(shape, at::kDouble).requires_grad_();
  };
  return {leaf({batch, in}), leaf({out, in}), leaf({out})};
}

// Not linear in the output, so that second derivatives do not vanish.
at::Tensor loss(const at::Tensor& y) { return y.pow(3).sum(); }

void expect_close(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-12 * (1 + b.abs().max().item<double>()));
}

TEST(DirectLinear, ValueAndGradientsAreThoseOfLinear) {
  for (const auto& [batch, in, out] : {std::tuple{1, 1, 1}, {7, 5, 3}, {2, 4, 33}}) {
    const Layer layer = make_layer(batch, in, out);
    const at::Tensor plain = at::linear(layer.x, layer.weight, layer.bias);
    const at::Tensor direct = direct_linear(layer.x, layer.weight, layer.bias);
    EXPECT_TRUE(direct.equal(plain));
    const auto expected = torch::autograd::grad({loss(plain)}, {layer.x, layer.weight, layer.bias});
    loss(direct).backward();  // no gradient is there yet
    for (int i = 0; i < 3; ++i) {
      const at::Tensor* leaves[] = {&layer.x, &layer.weight, &layer.bias};
      expect_close(leaves[i]->grad(), expected[static_cast<size_t>(i)]);
    }
    // Into what is there, which stays the same memory.
    const void* memory = layer.weight.grad().data_ptr();
    loss(direct_linear(layer.x, layer.weight, layer.bias)).backward();
    EXPECT_EQ(layer.weight.grad().data_ptr(), memory);
    expect_close(layer.weight.grad(), 2 * expected[1]);
  }
}

TEST(DirectLinear, OtherGradientsLeaveTheWeightsAlone) {
  const Layer layer = make_layer(4, 3, 6);
  layer.weight.mutable_grad() = torch::zeros_like(layer.weight);
  const at::Tensor y = direct_linear(layer.x, layer.weight, layer.bias);
  const at::Tensor to_x = torch::autograd::grad({loss(y)}, {layer.x}, {}, true)[0];
  EXPECT_EQ(layer.weight.grad().abs().sum().item<double>(), 0);
  expect_close(to_x, torch::autograd::grad({loss(at::linear(layer.x, layer.weight, layer.bias))},
                                           {layer.x})[0]);
  const at::Tensor asked = torch::autograd::grad({loss(y)}, {layer.bias}, {}, true)[0];
  EXPECT_EQ(layer.weight.grad().abs().sum().item<double>(), 0);
  EXPECT_EQ(asked.sizes(), layer.bias.sizes());
}

TEST(DirectLinear, IsDifferentiatedTwice) {
  const Layer layer = make_layer(4, 3, 6);
  const auto second = [&](const at::Tensor& y) {
    const auto first = torch::autograd::grad({loss(y)}, {layer.x, layer.weight}, {}, true, true);
    return torch::autograd::grad({first[0].square().sum() + first[1].square().sum()},
                                 {layer.x, layer.weight});
  };
  const auto expected = second(at::linear(layer.x, layer.weight, layer.bias));
  const auto found = second(direct_linear(layer.x, layer.weight, layer.bias));
  for (size_t i = 0; i < 2; ++i) expect_close(found[i], expected[i]);
}

}  // namespace
}  // namespace scorejet::nets
