// An n-dimensional array as files know it: element type, shape, bytes in C order. No torch here.
// Every reader returns one and every writer takes one; tensor_bridge.h turns them into tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace scorejet::io {

enum class DType { kUInt8, kInt32, kInt64, kFloat32, kFloat64 };

size_t dtype_size(DType dtype);
const char* dtype_name(DType dtype);  // "uint8", "int32", ... as NumPy says it

struct NdArray {
  DType dtype = DType::kFloat32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;  // C order, little-endian, dtype_size(dtype) * num_elements()

  int64_t num_elements() const;
  template <typename T>
  const T* data() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
  template <typename T>
  T* data() {
    return reinterpret_cast<T*>(bytes.data());
  }
};

// An array of that type and shape, its bytes zero.
NdArray make_array(DType dtype, std::vector<int64_t> shape);

// "[60000, 28, 28]"
std::string shape_string(const std::vector<int64_t>& shape);

}  // namespace scorejet::io
