#include "src/io/ndarray.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace scorejet::io {

size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
      return 1;
    case DType::kInt32:
    case DType::kFloat32:
      return 4;
    case DType::kInt64:
    case DType::kFloat64:
      return 8;
  }
  return 0;
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
      return "uint8";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
  }
  return "unknown";
}

int64_t NdArray::num_elements() const {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

NdArray make_array(DType dtype, std::vector<int64_t> shape) {
  NdArray array;
  array.dtype = dtype;
  array.shape = std::move(shape);
  array.bytes.resize(static_cast<size_t>(array.num_elements()) * dtype_size(dtype));
  return array;
}

std::string shape_string(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace scorejet::io
