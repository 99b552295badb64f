// NumPy's .npy files, version 1.0 to 3.0, little-endian, C or Fortran order.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "src/io/ndarray.h"

namespace scorejet::io {

// Reads u1, i4, i8, f4, f8 and bool ('|b1' as uint8). Fortran order is turned into C order.
// Errors: std::runtime_error naming the file and what is wrong (magic, header, element type,
// truncated, trailing bytes).
NdArray read_npy(const std::filesystem::path& path);
void write_npy(const std::filesystem::path& path, const NdArray& array);

// The same on bytes in memory; `name` is what errors call the source. Used by npz.
NdArray parse_npy(std::span<const std::byte> bytes, const std::string& name);
std::string format_npy(const NdArray& array);

}  // namespace scorejet::io
