// PNG pictures through libpng, 8 and 16 bits a channel, with and without alpha. Samples are taken
// as they stand in the file: gamma, colour profiles and sBIT are not applied, and not kept.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "src/io/ndarray.h"

namespace scorejet::io {

// What a PNG holds. The element type says the bits: uint8 for 8, int32 holding 0..65535 for 16
// (torch has no uint16).
struct Picture {
  NdArray samples;     // [height, width, channels], channels 1 (grey) or 3 (colour)
  NdArray alpha = {};  // [height, width], of the same type; no shape: no alpha

  bool has_alpha() const { return !alpha.shape.empty(); }
  bool opaque() const;      // no alpha, or its maximum everywhere
  int64_t maximum() const;  // of a sample: 255 or 65535
  int bits() const { return maximum() > 255 ? 16 : 8; }
};

// Every kind of PNG: palettes become colour, fewer than 8 bits become 8, a transparent colour
// becomes alpha. Errors: std::runtime_error naming the file: not a PNG, truncated, corrupt.
Picture read_picture(const std::filesystem::path& path);

// The samples alone as uint8: alpha dropped, 16 bits rounded to 8. Errors: as read_picture.
NdArray read_png(const std::filesystem::path& path);

// Writes the picture with its bits and its alpha, atomically. Errors: std::invalid_argument for
// other shapes or types; std::domain_error for a 16-bit sample outside 0..65535.
void write_picture(const std::filesystem::path& path, const Picture& picture);

// The bytes of such a file, for embedding.
std::string format_png(const NdArray& image);

// `path` itself, or, when it is a folder, the files in it that end in .png (of either case), in the
// order of their names. Errors: std::runtime_error for a folder without any.
std::vector<std::filesystem::path> list_pngs(const std::filesystem::path& path);

}  // namespace scorejet::io
