// NdArray to tensor and back. The only file of io that knows torch.
#pragma once

#include <ATen/core/Tensor.h>

#include "src/io/ndarray.h"

namespace scorejet::io {

// A CPU tensor with its own memory, of the array's shape and element type.
at::Tensor to_tensor(const NdArray& array);

// Copies a tensor of any device and layout. Errors: std::invalid_argument for another element type
// than uint8, int32, int64, float32, float64 (bool becomes uint8).
NdArray from_tensor(const at::Tensor& tensor);

}  // namespace scorejet::io
