#include "src/io/tensor_bridge.h"

#include <ATen/ATen.h>

#include <cstring>

#include "src/base/error.h"

namespace scorejet::io {
namespace {

constexpr std::pair<DType, at::ScalarType> kTypes[] = {{DType::kUInt8, at::kByte},
                                                       {DType::kInt32, at::kInt},
                                                       {DType::kInt64, at::kLong},
                                                       {DType::kFloat32, at::kFloat},
                                                       {DType::kFloat64, at::kDouble}};

}  // namespace

at::Tensor to_tensor(const NdArray& array) {
  for (const auto& [dtype, type] : kTypes) {
    if (dtype != array.dtype) continue;
    at::Tensor tensor = at::empty(array.shape, at::TensorOptions(type));
    if (!array.bytes.empty()) {
      std::memcpy(tensor.data_ptr(), array.bytes.data(), array.bytes.size());
    }
    return tensor;
  }
  base::fail_argument("io::to_tensor", "unknown element type");
}

NdArray from_tensor(const at::Tensor& tensor) {
  at::Tensor source = tensor.detach().cpu().contiguous();
  if (source.scalar_type() == at::kBool) source = source.to(at::kByte);
  for (const auto& [dtype, type] : kTypes) {
    if (type != source.scalar_type()) continue;
    NdArray array = make_array(dtype, source.sizes().vec());
    if (!array.bytes.empty())
      std::memcpy(array.bytes.data(), source.data_ptr(), array.bytes.size());
    return array;
  }
  base::fail_argument("io::from_tensor",
                      "tensor must be uint8, int32, int64, float32, float64 or bool; got {}",
                      at::toString(source.scalar_type()));
}

}  // namespace scorejet::io
