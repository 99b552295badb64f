// All parameters of a network in one flat buffer, gradients in another, so that clipping, Adam and
// EMA are a few vector operations. The module's own tensors become views into the buffers.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

namespace scorejet::training {

class FlatParameters {
 public:
  // Takes over the parameters of `module`, in its own order; convolution kernels are laid out
  // channels-last. The module must outlive this object and not be moved to another device.
  explicit FlatParameters(torch::nn::Module& module);

  at::Tensor values() const { return values_; }        // [P]
  at::Tensor gradients() const { return gradients_; }  // [P]
  int64_t size() const { return values_.numel(); }

  struct Range {
    int64_t begin, end;  // [begin, end)
  };
  // The parts of the buffer that hold these parameters of the module: in ascending order,
  // neighbours merged.
  std::vector<Range> ranges(const std::vector<at::Tensor>& parameters) const;

  // A flat buffer (these values, or an average of them) as named tensors of the module's shapes.
  std::vector<std::pair<std::string, at::Tensor>> unflatten(const at::Tensor& flat) const;

 private:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
    int64_t offset;
  };
  at::Tensor view(const at::Tensor& flat, const Entry& entry) const;

  std::vector<Entry> entries_;
  at::Tensor values_, gradients_;
};

}  // namespace scorejet::training
