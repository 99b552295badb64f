// PNG pictures through libpng, 8 bits a channel.
#pragma once

#include <filesystem>
#include <string>

#include "scorejet/io/ndarray.h"

namespace scorejet::io {

// A uint8 array [height, width, channels], channels 1 (grey) or 3 (colour). Palette and alpha are
// turned into these (alpha dropped); 16 bits reduced to 8.
// Errors: std::runtime_error naming the file: not a PNG, truncated, corrupt.
NdArray read_png(const std::filesystem::path& path);

// Writes uint8 [height, width, 1 or 3], atomically.
// Errors: std::invalid_argument for another shape or type.
void write_png(const std::filesystem::path& path, const NdArray& image);

// The same picture as the bytes of a PNG file, for embedding.
std::string format_png(const NdArray& image);

}  // namespace scorejet::io
