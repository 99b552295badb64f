#include "src/nets/direct_linear.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include "src/base/fast_paths.h"

namespace scorejet::nets {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class DirectLinear : public torch::autograd::Function<DirectLinear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return at::linear(x, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &g = gradients[0];
    variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = at::mm(g, weight);
    if (context->needs_input_grad(1)) {
      // A leaf is saved as it is, so this is the gradient that the caller's buffer holds.
      at::Tensor sum = weight.is_leaf() ? weight.grad() : at::Tensor();
      if (sum.defined() && !at::GradMode::is_enabled()) {
        sum.addmm_(g.t(), x);
      } else {
        result[1] = at::mm(g.t(), x);
      }
    }
    if (context->needs_input_grad(2)) result[2] = g.sum(0);
    return result;
  }
};

}  // namespace

at::Tensor direct_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!base::fast(base::FastPath::kDirectLinear)) return at::linear(x, weight, bias);
  return DirectLinear::apply(x, weight, bias);
}

}  // namespace scorejet::nets
