// Every kind of PNG to samples and back; and what is not one.
#include "src/io/png.h"

#include <gtest/gtest.h>
#include <png.h>

#include <cstdio>
#include <fstream>
#include <random>

#include "src/io/atomic_file.h"
#include "tests/scratch.h"

namespace scorejet::io {
namespace {

using testing::error_of;
using testing::Scratch;
using Path = std::filesystem::path;

NdArray random_array(DType dtype, const std::vector<int64_t>& shape, int64_t maximum) {
  NdArray array = make_array(dtype, shape);
  std::mt19937 draw(5);
  for (int64_t i = 0; i < array.num_elements(); ++i) {
    const auto value = static_cast<int64_t>(draw() % static_cast<uint32_t>(maximum + 1));
    if (dtype == DType::kUInt8) {
      array.data<uint8_t>()[i] = static_cast<uint8_t>(value);
    } else {
      array.data<int32_t>()[i] = static_cast<int32_t>(value);
    }
  }
  return array;
}

Picture random_picture(int bits, int64_t height, int64_t width, int64_t channels, bool alpha) {
  const DType dtype = bits == 8 ? DType::kUInt8 : DType::kInt32;
  Picture picture{random_array(dtype, {height, width, channels}, bits == 8 ? 255 : 65535)};
  if (alpha) picture.alpha = random_array(dtype, {height, width}, bits == 8 ? 255 : 65535);
  return picture;
}

void expect_same_picture(const Picture& a, const Picture& b) {
  EXPECT_EQ(a.samples.dtype, b.samples.dtype);
  EXPECT_EQ(a.samples.shape, b.samples.shape);
  EXPECT_EQ(a.samples.bytes, b.samples.bytes);
  EXPECT_EQ(a.alpha.shape, b.alpha.shape);
  EXPECT_EQ(a.alpha.bytes, b.alpha.bytes);
}

// A file of one row as libpng writes it from raw bytes: any bit depth, palette, gamma, interlacing.
struct Raw {
  int bits = 8, type = PNG_COLOR_TYPE_GRAY;
  png_uint_32 width = 0;
  std::vector<uint8_t> row;
  std::vector<png_color> palette = {};
  std::vector<png_byte> palette_alpha = {};
  bool grey_key = false;  // the sample 1 is transparent
  double gamma = 0;
  int interlace = PNG_INTERLACE_NONE;
};

void write_raw(const Path& path, const Raw& raw) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file);
  png_set_IHDR(png, info, raw.width, 1, raw.bits, raw.type, raw.interlace,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!raw.palette.empty()) {
    png_set_PLTE(png, info, raw.palette.data(), static_cast<int>(raw.palette.size()));
  }
  png_color_16 key{};
  key.gray = 1;
  if (!raw.palette_alpha.empty()) {
    png_set_tRNS(png, info, raw.palette_alpha.data(), static_cast<int>(raw.palette_alpha.size()),
                 nullptr);
  } else if (raw.grey_key) {
    png_set_tRNS(png, info, nullptr, 0, &key);
  }
  if (raw.gamma > 0) png_set_gAMA(png, info, raw.gamma);
  png_write_info(png, info);
  const int passes = png_set_interlace_handling(png);
  for (int pass = 0; pass < passes; ++pass) png_write_row(png, raw.row.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  std::fclose(file);
}

std::vector<int64_t> values(const NdArray& array) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < array.num_elements(); ++i) {
    result.push_back(array.dtype == DType::kUInt8 ? array.data<uint8_t>()[i]
                                                  : array.data<int32_t>()[i]);
  }
  return result;
}

using Values = std::vector<int64_t>;

TEST(Png, KeepsBitsChannelsAndAlpha) {
  const Scratch scratch;
  for (int bits : {8, 16}) {
    for (int64_t channels : {1, 3}) {
      for (bool alpha : {false, true}) {
        for (auto [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {40, 3}}) {
          const Picture picture = random_picture(bits, height, width, channels, alpha);
          write_picture(scratch / "a.png", picture);
          const Picture back = read_picture(scratch / "a.png");
          expect_same_picture(back, picture);
          EXPECT_EQ(back.bits(), bits);
          EXPECT_EQ(back.has_alpha(), alpha);
          EXPECT_EQ(back.opaque(), !alpha);
        }
      }
    }
  }
  Picture opaque = random_picture(8, 2, 2, 1, true);
  std::fill(opaque.alpha.bytes.begin(), opaque.alpha.bytes.end(), std::byte{255});
  EXPECT_TRUE(opaque.opaque());
}

TEST(Png, SixteenBitsAreBigEndianAndRoundToEight) {
  const Scratch scratch;
  const std::vector<uint8_t> row{0, 0, 0, 129, 1, 2, 255, 255};
  write_raw(scratch / "a.png", {.bits = 16, .width = 4, .row = row});
  EXPECT_EQ(values(read_picture(scratch / "a.png").samples), (Values{0, 129, 258, 65535}));
  EXPECT_EQ(values(read_png(scratch / "a.png")), (Values{0, 1, 1, 255}));  // 129/257 = 0.502
}

TEST(Png, FewBitsAndPalettesExpandToEight) {
  const Scratch scratch;
  write_raw(scratch / "1.png", {.bits = 1, .width = 4, .row = {0b01010000}});
  EXPECT_EQ(values(read_picture(scratch / "1.png").samples), (Values{0, 255, 0, 255}));
  write_raw(scratch / "2.png", {.bits = 2, .width = 4, .row = {0b00011011}});
  EXPECT_EQ(values(read_picture(scratch / "2.png").samples), (Values{0, 85, 170, 255}));
  const std::vector<png_color> palette{{1, 2, 3}, {200, 100, 50}};
  Raw indexed{.bits = 1,
              .type = PNG_COLOR_TYPE_PALETTE,
              .width = 3,
              .row = {0b01000000},
              .palette = palette};
  write_raw(scratch / "p.png", indexed);
  const Picture picture = read_picture(scratch / "p.png");
  EXPECT_EQ(values(picture.samples), (Values{1, 2, 3, 200, 100, 50, 1, 2, 3}));
  EXPECT_FALSE(picture.has_alpha());
  indexed.palette_alpha = {255, 7};
  write_raw(scratch / "p.png", indexed);
  EXPECT_EQ(values(read_picture(scratch / "p.png").alpha), (Values{255, 7, 255}));
  write_raw(scratch / "k.png", {.width = 3, .row = {0, 1, 2}, .grey_key = true});
  EXPECT_EQ(values(read_picture(scratch / "k.png").samples), (Values{0, 1, 2}));
  EXPECT_EQ(values(read_picture(scratch / "k.png").alpha), (Values{255, 0, 255}));
}

TEST(Png, SamplesAreNotChangedByGammaOrInterlacing) {
  const Scratch scratch;
  for (double gamma : {0.0, 1.0, 0.45455}) {
    write_raw(scratch / "a.png", {.width = 3, .row = {10, 100, 200}, .gamma = gamma});
    EXPECT_EQ(values(read_picture(scratch / "a.png").samples), (Values{10, 100, 200})) << gamma;
    EXPECT_EQ(values(read_png(scratch / "a.png")), (Values{10, 100, 200})) << gamma;
  }
  std::vector<uint8_t> row(9);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<uint8_t>(20 * i);
  write_raw(scratch / "i.png", {.width = 9, .row = row, .interlace = PNG_INTERLACE_ADAM7});
  EXPECT_EQ(values(read_picture(scratch / "i.png").samples),
            (Values{0, 20, 40, 60, 80, 100, 120, 140, 160}));
}

// Whatever the damage: the picture, or one line that names the file.
TEST(Png, DamagedFilesAreNamedAndNeverCrash) {
  const Scratch scratch;
  const Path path = scratch / "damaged.png";
  write_picture(path, random_picture(16, 9, 11, 3, true));
  const std::string good = read_text(path);
  const auto put = [&](const std::string& bytes) {  // no fsync
    std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  };
  const auto expect_named = [&](const std::string& bytes) {
    put(bytes);
    const std::string error = error_of([&] { read_picture(path); });
    EXPECT_NE(error.find("damaged.png"), std::string::npos) << bytes.size();
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  };
  for (size_t size = 0; size < good.size(); size += 1 + size / 8)
    expect_named(good.substr(0, size));
  expect_named("This is text that somebody called a PNG.\n");
  expect_named(std::string("\x89PNG\r\n\x1a\n", 8));
  std::mt19937 draw(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::string bytes = good;
    bytes[draw() % bytes.size()] ^= static_cast<char>(1 + draw() % 255);
    put(bytes);
    const std::string error = error_of([&] { read_picture(path); });
    EXPECT_TRUE(error.empty() || error.find("damaged.png") != std::string::npos) << error;
  }
  EXPECT_NE(error_of([&] { read_picture(scratch / "none.png"); }).find("none.png"),
            std::string::npos);
}

// A header may claim a billion pixels; the claim alone must not take the memory.
TEST(Png, RefusesMorePixelsThanItsBytesCanHold) {
  const Scratch scratch;
  write_raw(scratch / "a.png", {.width = 900000, .row = std::vector<uint8_t>(900000)});
  std::string bytes = read_text(scratch / "a.png");
  bytes[20] = 0, bytes[21] = 0x0d, bytes[22] = static_cast<char>(0xbb), bytes[23] = 0;  // height
  uint32_t crc = 0xffffffffu;
  for (size_t i = 12; i < 29; ++i) {  // of the type and the 13 bytes of IHDR
    crc ^= static_cast<uint8_t>(bytes[i]);
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ ((crc & 1) ? 0xedb88320u : 0);
  }
  for (size_t i = 0; i < 4; ++i) bytes[29 + i] = static_cast<char>((~crc) >> (24 - 8 * i));
  write_file(scratch / "a.png", bytes);
  EXPECT_NE(error_of([&] { read_picture(scratch / "a.png"); }).find("claims 900000 x 899840"),
            std::string::npos)
      << error_of([&] { read_picture(scratch / "a.png"); });
}

TEST(Png, RefusesWhatItCannotWrite) {
  const Scratch scratch;
  const Path path = scratch / "a.png";
  EXPECT_THROW(write_picture(path, {make_array(DType::kUInt8, {2, 2, 2})}), std::invalid_argument);
  EXPECT_THROW(write_picture(path, {make_array(DType::kUInt8, {0, 2, 1})}), std::invalid_argument);
  EXPECT_THROW(write_picture(path, {make_array(DType::kFloat32, {2, 2, 1})}),
               std::invalid_argument);
  EXPECT_THROW(write_picture(
                   path, {make_array(DType::kUInt8, {2, 2, 1}), make_array(DType::kInt32, {2, 2})}),
               std::invalid_argument);
  Picture large{make_array(DType::kInt32, {1, 1, 1})};
  large.samples.data<int32_t>()[0] = 65536;
  EXPECT_THROW(write_picture(path, large), std::domain_error);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Png, ListsAFolderInOrder) {
  const Scratch scratch;
  EXPECT_NE(error_of([&] { list_pngs(scratch / ""); }).find("must hold PNG files"),
            std::string::npos);
  for (const char* name : {"b.png", "a.PNG", "c.txt", "d.png"}) write_file(scratch / name, "");
  EXPECT_EQ(list_pngs(scratch / ""),
            (std::vector<Path>{scratch / "a.PNG", scratch / "b.png", scratch / "d.png"}));
  EXPECT_EQ(list_pngs(scratch / "x.png"), (std::vector<Path>{scratch / "x.png"}));
}

}  // namespace
}  // namespace scorejet::io
