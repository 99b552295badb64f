#include "scorejet/io/png.h"

#include <png.h>

#include <cstring>

#include "scorejet/base/error.h"
#include "scorejet/io/atomic_file.h"

namespace scorejet::io {

NdArray read_png(const std::filesystem::path& path) {
  constexpr const char* kWhere = "io::read_png";
  const std::vector<std::byte> bytes = read_file(path);
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  if (bytes.empty() || !png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) {
    base::fail_runtime(kWhere, "{}: not a readable PNG ({})", path.string(),
                       bytes.empty() ? "empty file" : image.message);
  }
  const bool colour = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  // A deflated stream expands at most about a thousandfold: a larger claim is a lie.
  const uint64_t claimed = uint64_t{image.width} * image.height * (colour ? 3 : 1);
  if (claimed > 1100 * static_cast<uint64_t>(bytes.size()) * 8 + 4096) {
    png_image_free(&image);
    base::fail_runtime(kWhere, "{}: claims {} x {} pixels in {} bytes", path.string(), image.width,
                       image.height, bytes.size());
  }
  NdArray array = make_array(DType::kUInt8, {image.height, image.width, colour ? 3 : 1});
  const png_color background{0, 0, 0};
  if (!png_image_finish_read(&image, &background, array.bytes.data(), 0, nullptr)) {
    base::fail_runtime(kWhere, "{}: truncated or corrupt PNG ({})", path.string(), image.message);
  }
  return array;
}

std::string format_png(const NdArray& array) {
  if (array.dtype != DType::kUInt8 || array.shape.size() != 3 ||
      (array.shape[2] != 1 && array.shape[2] != 3) || array.shape[0] < 1 || array.shape[1] < 1) {
    base::fail_argument("io::write_png", "image must be uint8 [height, width, 1 or 3]; got {} {}",
                        dtype_name(array.dtype), shape_string(array.shape));
  }
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(array.shape[0]);
  image.width = static_cast<png_uint_32>(array.shape[1]);
  image.format = array.shape[2] == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (!png_image_write_to_memory(&image, bytes.data(), &size, 0, array.bytes.data(), 0, nullptr)) {
    base::fail_runtime("io::write_png", "cannot encode: {}", image.message);
  }
  bytes.resize(size);
  return bytes;
}

void write_png(const std::filesystem::path& path, const NdArray& image) {
  write_file(path, format_png(image));
}

}  // namespace scorejet::io
