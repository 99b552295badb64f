#include "bench/counted_work.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <atomic>
#include <string>

namespace scorejet::bench {
namespace {

std::atomic<int64_t> g_multiply_adds{0};

int64_t last_two(const at::Tensor& a, const at::Tensor& b) {  // [.., n, k] times [.., k, m]
  return a.numel() * b.size(-1);
}

// Multiply-adds of one output number: the kernel's size without its output channels.
int64_t per_output(const at::Tensor& weight) { return weight.numel() / weight.size(0); }

// Not transposed; `weight` [out, in/groups, kernel...]; the lists hold one number an axis, or one
// for all.
int64_t convolution(const at::Tensor& input, const at::Tensor& weight,
                    const std::vector<int64_t>& stride, const std::vector<int64_t>& padding,
                    const std::vector<int64_t>& dilation) {
  int64_t outputs = input.size(0) * weight.size(0);
  for (int64_t axis = 2; axis < weight.dim(); ++axis) {
    const auto at = [&](const std::vector<int64_t>& list) {
      return list.size() == 1 ? list[0] : list[static_cast<size_t>(axis - 2)];
    };
    const int64_t kernel = at(dilation) * (weight.size(axis) - 1) + 1;
    outputs *= (input.size(axis) + 2 * at(padding) - kernel) / at(stride) + 1;
  }
  return outputs * per_output(weight);
}

std::unique_ptr<at::ObserverContext> count(const at::RecordFunction& function) {
  const auto& inputs = function.inputs();
  std::string name = function.name();
  if (name.back() == '_') name.pop_back();  // in place
  const auto tensor = [&](size_t i) { return inputs[i].toTensor(); };
  int64_t work = 0;
  if (name == "aten::mm" || name == "aten::bmm") {
    work = last_two(tensor(0), tensor(1));
  } else if (name == "aten::addmm" || name == "aten::baddbmm") {
    work = last_two(tensor(1), tensor(2));
  } else if (name == "aten::convolution") {
    work = convolution(tensor(0), tensor(1), inputs[3].toIntVector(), inputs[4].toIntVector(),
                       inputs[5].toIntVector());
  } else if (name == "aten::convolution_backward") {
    const auto wanted = inputs[10].toBoolList();  // of input, weight, bias
    work = tensor(0).numel() * per_output(tensor(2)) * (int64_t{wanted[0]} + int64_t{wanted[1]});
  }
  g_multiply_adds += work;
  return nullptr;
}

}  // namespace

double count_flops(const std::function<void()>& body) {
  g_multiply_adds = 0;
  struct Handle {
    at::CallbackHandle value;
    ~Handle() { at::removeCallback(value); }
  };
  const Handle handle{at::addGlobalCallback(
      at::RecordFunctionCallback(count).needsInputs(true).scopes({at::RecordScope::FUNCTION}))};
  body();
  return 2 * static_cast<double>(g_multiply_adds.load());
}

}  // namespace scorejet::bench
