// NumPy's .npz archives: a zip of .npy members. Members are stored deflated.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "src/io/ndarray.h"

namespace scorejet::io {

using NamedArrays = std::map<std::string, NdArray>;

// All members, keys without the ".npy". Errors: std::runtime_error naming file and member.
NamedArrays read_npz(const std::filesystem::path& path);

// Replaces `path` atomically. numpy.load opens it.
void write_npz(const std::filesystem::path& path, const NamedArrays& arrays);

}  // namespace scorejet::io
