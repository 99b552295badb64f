#include "src/io/png.h"

#include <png.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::io {
namespace {

constexpr const char* kRead = "io::read_picture";
constexpr const char* kWrite = "io::write_picture";

// libpng leaves a failed call by longjmp(), which must not pass a C++ destructor: everything that
// owns memory lives in the callers of attempt(), and the bodies given to it call libpng only.
struct Codec {
  png_structp png = nullptr;
  png_infop info = nullptr;
  bool writes = false;
  char message[128] = "";

  explicit Codec(bool write) : writes(write) {
    const auto fail = [](png_structp p, png_const_charp text) {
      auto* codec = static_cast<Codec*>(png_get_error_ptr(p));
      std::snprintf(codec->message, sizeof codec->message, "%s", text);
      png_longjmp(p, 1);
    };
    const auto ignore = [](png_structp, png_const_charp) {};
    png = write ? png_create_write_struct(PNG_LIBPNG_VER_STRING, this, fail, ignore)
                : png_create_read_struct(PNG_LIBPNG_VER_STRING, this, fail, ignore);
    if (png) info = png_create_info_struct(png);
    if (info) return;
    close();
    base::fail_runtime("io::png", "libpng cannot start: out of memory");
  }
  ~Codec() { close(); }
  void close() {
    if (writes) {
      png_destroy_write_struct(&png, &info);
    } else {
      png_destroy_read_struct(&png, &info, nullptr);
    }
  }
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;
};

template <typename Body>
bool attempt(Codec& codec, const Body& body) {
  if (setjmp(png_jmpbuf(codec.png))) return false;
  body();
  return true;
}

struct Source {
  const std::byte* next;
  size_t left;
};

void take_bytes(png_structp png, png_bytep to, size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->left) png_error(png, "the file ends early");
  std::memcpy(to, source->next, count);
  source->next += count;
  source->left -= count;
}

struct Size {
  int64_t height = 0, width = 0, channels = 0;
  bool colour = false, alpha = false;
  size_t bytes = 1;  // a sample
  int passes = 1;

  size_t row_bytes() const { return static_cast<size_t>(width * channels) * bytes; }
};

// Reads the header and asks for whole bytes: no palette, no packed bits, transparency as alpha.
void read_header(const Codec& codec, Source* source, Size* size) {
  png_set_read_fn(codec.png, source, take_bytes);
  png_read_info(codec.png, codec.info);
  png_set_expand(codec.png);
  size->passes = png_set_interlace_handling(codec.png);
  png_read_update_info(codec.png, codec.info);
  const int type = png_get_color_type(codec.png, codec.info);
  size->height = png_get_image_height(codec.png, codec.info);
  size->width = png_get_image_width(codec.png, codec.info);
  size->channels = png_get_channels(codec.png, codec.info);
  size->colour = (type & PNG_COLOR_MASK_COLOR) != 0;
  size->alpha = (type & PNG_COLOR_MASK_ALPHA) != 0;
  size->bytes = png_get_bit_depth(codec.png, codec.info) == 16 ? 2 : 1;
}

int64_t value_at(const NdArray& array, size_t i) {
  return array.dtype == DType::kUInt8 ? array.data<uint8_t>()[i] : array.data<int32_t>()[i];
}

void set_value(NdArray& array, size_t i, int64_t value) {
  if (array.dtype == DType::kUInt8) {
    array.data<uint8_t>()[i] = static_cast<uint8_t>(value);
  } else {
    array.data<int32_t>()[i] = static_cast<int32_t>(value);
  }
}

// Rows as they are in the file (big-endian, alpha last) to samples and alpha.
Picture unpack(const std::vector<std::byte>& rows, const Size& size) {
  const DType type = size.bytes == 2 ? DType::kInt32 : DType::kUInt8;
  const int64_t shown = size.colour ? 3 : 1;
  Picture picture{make_array(type, {size.height, size.width, shown})};
  if (size.alpha) picture.alpha = make_array(type, {size.height, size.width});
  const auto* bytes = reinterpret_cast<const uint8_t*>(rows.data());
  const size_t pixels = static_cast<size_t>(size.height * size.width);
  for (size_t pixel = 0, k = 0; pixel < pixels; ++pixel) {
    for (int64_t c = 0; c < size.channels; ++c, k += size.bytes) {
      const int64_t value = size.bytes == 2 ? bytes[k] * 256 + bytes[k + 1] : bytes[k];
      if (c < shown) {
        set_value(picture.samples, pixel * static_cast<size_t>(shown) + static_cast<size_t>(c),
                  value);
      } else {
        set_value(picture.alpha, pixel, value);
      }
    }
  }
  return picture;
}

Size checked_size(const Picture& picture) {
  const NdArray& samples = picture.samples;
  const bool bytes = samples.dtype == DType::kUInt8;
  if ((!bytes && samples.dtype != DType::kInt32) || samples.shape.size() != 3 ||
      (samples.shape[2] != 1 && samples.shape[2] != 3) || samples.shape[0] < 1 ||
      samples.shape[1] < 1) {
    base::fail_argument(kWrite,
                        "samples must be uint8 or int32 (16 bit) [height, width, 1 or 3]; got {} "
                        "{}",
                        dtype_name(samples.dtype), shape_string(samples.shape));
  }
  const Size size{
      samples.shape[0],      samples.shape[1],    samples.shape[2] + picture.has_alpha(),
      samples.shape[2] == 3, picture.has_alpha(), bytes ? size_t{1} : size_t{2}};
  if (size.alpha && (picture.alpha.dtype != samples.dtype ||
                     picture.alpha.shape != std::vector<int64_t>{size.height, size.width})) {
    base::fail_argument(kWrite, "alpha must be {} {}; got {} {}", dtype_name(samples.dtype),
                        shape_string({size.height, size.width}), dtype_name(picture.alpha.dtype),
                        shape_string(picture.alpha.shape));
  }
  return size;
}

std::vector<uint8_t> pack(const Picture& picture, const Size& size) {
  std::vector<uint8_t> rows;
  rows.reserve(static_cast<size_t>(size.height) * size.row_bytes());
  const auto put = [&](int64_t value) {
    if (value < 0 || value > 65535) {
      base::fail_domain(kWrite, "samples must lie in 0..65535; got {}", value);
    }
    if (size.bytes == 2) rows.push_back(static_cast<uint8_t>(value >> 8));
    rows.push_back(static_cast<uint8_t>(value & 255));
  };
  const size_t shown = size.colour ? 3 : 1;
  for (size_t pixel = 0; pixel < static_cast<size_t>(size.height * size.width); ++pixel) {
    for (size_t c = 0; c < shown; ++c) put(value_at(picture.samples, pixel * shown + c));
    if (size.alpha) put(value_at(picture.alpha, pixel));
  }
  return rows;
}

std::string encode(const Picture& picture) {
  const Size size = checked_size(picture);
  const std::vector<uint8_t> rows = pack(picture, size);
  const int type =
      (size.colour ? PNG_COLOR_MASK_COLOR : 0) | (size.alpha ? PNG_COLOR_MASK_ALPHA : 0);
  std::vector<uint8_t> bytes;
  Codec codec(true);
  const auto append = [](png_structp png, png_bytep data, size_t count) {
    bool good = true;
    try {
      auto* to = static_cast<std::vector<uint8_t>*>(png_get_io_ptr(png));
      to->insert(to->end(), data, data + count);
    } catch (const std::bad_alloc&) {  // nor may an exception pass libpng
      good = false;
    }
    if (!good) png_error(png, "out of memory");
  };
  const bool good = attempt(codec, [&] {
    png_set_write_fn(codec.png, &bytes, append, nullptr);
    png_set_IHDR(codec.png, codec.info, static_cast<png_uint_32>(size.width),
                 static_cast<png_uint_32>(size.height), size.bytes == 2 ? 16 : 8, type,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(codec.png, codec.info);
    for (int64_t y = 0; y < size.height; ++y) {
      png_write_row(codec.png, rows.data() + static_cast<size_t>(y) * size.row_bytes());
    }
    png_write_end(codec.png, codec.info);
  });
  if (!good) base::fail_runtime(kWrite, "cannot encode: {}", codec.message);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

int64_t Picture::maximum() const { return samples.dtype == DType::kUInt8 ? 255 : 65535; }

bool Picture::opaque() const {
  for (size_t i = 0; i < static_cast<size_t>(alpha.num_elements()) && has_alpha(); ++i) {
    if (value_at(alpha, i) != maximum()) return false;
  }
  return true;
}

Picture read_picture(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  if (bytes.empty())
    base::fail_runtime(kRead, "{}: not a readable PNG (empty file)", path.string());
  Source source{bytes.data(), bytes.size()};
  Size size;
  std::vector<std::byte> rows;
  Codec codec(false);
  if (!attempt(codec, [&] { read_header(codec, &source, &size); })) {
    base::fail_runtime(kRead, "{}: not a readable PNG ({})", path.string(), codec.message);
  }
  // A deflated stream expands at most about a thousandfold (and a bit can become a sample of three
  // or four bytes): a larger claim is a lie.
  const uint64_t claimed = static_cast<uint64_t>(size.height) * size.row_bytes();
  if (claimed > 1100 * static_cast<uint64_t>(bytes.size()) * 32 + 4096) {
    base::fail_runtime(kRead, "{}: claims {} x {} pixels in {} bytes", path.string(), size.width,
                       size.height, bytes.size());
  }
  rows.resize(claimed);
  const bool good = attempt(codec, [&] {
    for (int pass = 0; pass < size.passes; ++pass) {
      for (int64_t y = 0; y < size.height; ++y) {
        png_read_row(
            codec.png,
            reinterpret_cast<png_bytep>(rows.data()) + static_cast<size_t>(y) * size.row_bytes(),
            nullptr);
      }
    }
    png_read_end(codec.png, nullptr);
  });
  if (!good) {
    base::fail_runtime(kRead, "{}: truncated or corrupt PNG ({})", path.string(), codec.message);
  }
  return unpack(rows, size);
}

NdArray read_png(const std::filesystem::path& path) {
  Picture picture = read_picture(path);
  if (picture.bits() == 8) return std::move(picture.samples);
  NdArray image = make_array(DType::kUInt8, picture.samples.shape);
  for (size_t i = 0; i < image.bytes.size(); ++i) {
    set_value(image, i, (value_at(picture.samples, i) * 255 + 32767) / 65535);
  }
  return image;
}

void write_picture(const std::filesystem::path& path, const Picture& picture) {
  write_file(path, encode(picture));
}

std::string format_png(const NdArray& image) { return encode({image}); }

std::vector<std::filesystem::path> list_pngs(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    std::string extension = entry.path().extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (extension == ".png") files.push_back(entry.path());
  }
  if (files.empty()) {
    base::fail_runtime("io::list_pngs", "{} must hold PNG files; got none", path.string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace scorejet::io
