#include "src/nets/network.h"

#include <ATen/ATen.h>

namespace scorejet::nets {

std::vector<at::Tensor> Network::own_parameters(int order) const {
  std::vector<at::Tensor> own;
  const auto parts = named_children();
  for (const auto& [its, name] : own_) {
    if (its != order) continue;
    for (const at::Tensor& parameter : parts[name]->parameters()) own.push_back(parameter);
  }
  return own;
}

void zero_parameters(torch::nn::Module& module) {
  at::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters()) parameter.zero_();
}

}  // namespace scorejet::nets
