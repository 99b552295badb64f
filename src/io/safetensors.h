// safetensors files: 8-byte little-endian header length, JSON header, raw little-endian data.
// Element types U8, I32, I64, F32 and F64 are read and written.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "src/io/ndarray.h"

namespace scorejet::io {

struct SafeTensors {
  std::map<std::string, NdArray> tensors;
  std::map<std::string, std::string> metadata;  // the "__metadata__" entry: text only
};

// Errors: std::runtime_error naming file and tensor: header too long or no JSON, unknown type,
// offsets that overlap, leave gaps, disagree with the shape or pass the end of the file.
SafeTensors read_safetensors(const std::filesystem::path& path);

// Replaces `path` atomically; the header is padded so that data starts 8-byte aligned.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& file);

}  // namespace scorejet::io
