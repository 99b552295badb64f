// IDX files (the MNIST family), plain or gzip-compressed: uint8 data of 1 to 4 dimensions.
// Format: http://yann.lecun.com/exdb/mnist/ (magic 0x0000 0x08 ndim, big-endian sizes, bytes).
#pragma once

#include <filesystem>
#include <string>

#include "src/io/ndarray.h"

namespace scorejet::io {

// Errors: std::runtime_error naming the file: bad magic, element type other than uint8, sizes that
// do not match the number of bytes (expected against found), a corrupt gzip stream.
NdArray read_idx(const std::filesystem::path& path);

// The bytes of a file, decompressed when it is gzip. Errors: std::runtime_error naming the file.
std::string read_maybe_gzip(const std::filesystem::path& path);

}  // namespace scorejet::io
