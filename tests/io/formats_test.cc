// Readers and writers: round trips, and every truncation and many corruptions of good files give a
// one-line error that names the file, never a crash.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "src/io/atomic_file.h"
#include "src/io/csv.h"
#include "src/io/idx.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/png.h"
#include "src/io/safetensors.h"
#include "tests/scratch.h"
#include "tests/write_csv.h"

namespace scorejet::io {
namespace {

using testing::error_of;
using testing::Scratch;
using Path = std::filesystem::path;

NdArray ramp(DType dtype, std::vector<int64_t> shape) {
  NdArray array = make_array(dtype, std::move(shape));
  for (size_t i = 0; i < array.bytes.size(); ++i) array.bytes[i] = static_cast<std::byte>(i % 60);
  return array;
}

void expect_same(const NdArray& a, const NdArray& b) {
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.bytes, b.bytes);
}

// Every prefix of `good` must be refused with the file's name; flipped bytes must not crash.
void torture(const Path& path, const std::function<void(const Path&)>& read, size_t stride = 1) {
  const std::string good = read_text(path);
  EXPECT_EQ(error_of([&] { read(path); }), "");
  for (size_t size = 0; size < good.size(); size += stride) {
    write_file(path, good.substr(0, size));
    const std::string error = error_of([&] { read(path); });
    EXPECT_NE(error.find(path.string()), std::string::npos) << size << ": " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
  for (size_t i = 0; i < good.size(); i += stride) {
    for (int mask : {0xff, 0x80}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ mask);
      write_file(path, bad);
      (void)error_of([&] { read(path); });
    }
  }
  EXPECT_NE(error_of([&] { read("/no/such/file"); }).find("/no/such/file"), std::string::npos);
}

TEST(Npy, RoundTripAndTorture) {
  const Scratch scratch;
  for (DType dtype :
       {DType::kUInt8, DType::kInt32, DType::kInt64, DType::kFloat32, DType::kFloat64}) {
    for (const auto& shape :
         std::vector<std::vector<int64_t>>{{}, {3}, {2, 3}, {0, 4}, {2, 1, 2}}) {
      write_npy(scratch / "a.npy", ramp(dtype, shape));
      expect_same(read_npy(scratch / "a.npy"), ramp(dtype, shape));
    }
  }
  write_npy(scratch / "a.npy", ramp(DType::kFloat32, {2, 3}));
  torture(scratch / "a.npy", [](const Path& p) { read_npy(p); });
}

TEST(Npy, FortranOrderAndHostileShape) {
  const auto parse = [](std::string header, const std::string& data) {
    header.resize(118, ' ');
    std::string text = std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + data;
    return parse_npy(std::as_bytes(std::span(text)), "x.npy");
  };
  const NdArray a = parse("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }",
                          std::string("\x00\x01\x02\x03\x04\x05", 6));
  EXPECT_EQ(a.data<uint8_t>()[1], 2);  // row 0, column 1 is the third byte, column-major
  EXPECT_EQ(a.data<uint8_t>()[3], 1);
  for (const char* shape : {"(99999999999, 99999999999)", "(-1,)", "(2, 3", "7", "(4,)"}) {
    const std::string error = error_of([&] {
      parse(std::string("{'descr': '<f4', 'fortran_order': False, 'shape': ") + shape + ", }",
            "abcd");
    });
    EXPECT_NE(error.find("x.npy"), std::string::npos) << shape;
  }
}

TEST(Npz, RoundTripAndTorture) {
  const Scratch scratch;
  const NamedArrays arrays{{"x", ramp(DType::kFloat32, {4, 2})}, {"y", ramp(DType::kUInt8, {3})}};
  write_npz(scratch / "a.npz", arrays);
  const NamedArrays back = read_npz(scratch / "a.npz");
  ASSERT_EQ(back.size(), 2u);
  expect_same(back.at("x"), arrays.at("x"));
  torture(
      scratch / "a.npz", [](const Path& p) { read_npz(p); }, 3);
}

TEST(Npz, NumpyOpensIt) {
  if (std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0)
    GTEST_SKIP() << "no numpy";
  const Scratch scratch;
  write_npz(scratch / "a.npz", {{"x", ramp(DType::kInt32, {2, 3})}});
  const std::string program = "import numpy; a = numpy.load('" + (scratch / "a.npz").string() +
                              "')['x']; assert a.shape == (2, 3) and a.dtype == 'int32'";
  EXPECT_EQ(std::system(("/usr/bin/python3 -c \"" + program + "\"").c_str()), 0);
}

TEST(Idx, KnownBytesAndTorture) {
  const Scratch scratch;
  const std::string good(
      "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"
      "abcdef",
      18);
  write_file(scratch / "a-idx", good);
  const NdArray a = read_idx(scratch / "a-idx");
  EXPECT_EQ(a.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(a.data<uint8_t>()[5], 'f');
  torture(scratch / "a-idx", [](const Path& p) { read_idx(p); });
}

TEST(Png, RoundTripAndTorture) {
  const Scratch scratch;
  for (int64_t channels : {1, 3}) {
    write_picture(scratch / "a.png", {ramp(DType::kUInt8, {5, 7, channels})});
    expect_same(read_png(scratch / "a.png"), ramp(DType::kUInt8, {5, 7, channels}));
  }
  EXPECT_THROW(write_picture(scratch / "b.png", {ramp(DType::kFloat32, {5, 7, 1})}),
               std::invalid_argument);
  const std::string good = read_text(scratch / "a.png");
  for (size_t size = 0; size + 12 < good.size(); size += 2) {  // the last chunk may be missing
    write_file(scratch / "a.png", good.substr(0, size));
    EXPECT_NE(error_of([&] { read_png(scratch / "a.png"); }).find("a.png"), std::string::npos);
  }
}

TEST(SafeTensors, RoundTripAndTorture) {
  const Scratch scratch;
  SafeTensors file;
  file.tensors = {{"w", ramp(DType::kFloat32, {2, 2})}, {"b", ramp(DType::kFloat64, {3})}};
  file.metadata = {{"step", "7"}};
  write_safetensors(scratch / "a.safetensors", file);
  const SafeTensors back = read_safetensors(scratch / "a.safetensors");
  EXPECT_EQ(back.metadata, file.metadata);
  expect_same(back.tensors.at("w"), file.tensors.at("w"));
  expect_same(back.tensors.at("b"), file.tensors.at("b"));
  torture(scratch / "a.safetensors", [](const Path& p) { read_safetensors(p); });
}

TEST(CsvFile, ReadsNumbersAndNamesTheFault) {
  const Scratch scratch;
  write_file(scratch / "a.csv", "x,y\r\n1,2.5\r\n-3e2,+4\r\n\r\n");
  const NdArray a = read_csv_table(scratch / "a.csv").values;
  EXPECT_EQ(a.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(a.data<double>()[2], -300);
  write_file(scratch / "n.csv", "\xEF\xBB\xBF\"height\", width\n1,2\n");
  EXPECT_EQ(read_csv_table(scratch / "n.csv").names, (std::vector<std::string>{"height", "width"}));
  write_file(scratch / "n.csv",
             "\xEF\xBB\xBF"
             "1,2\n");
  EXPECT_EQ(read_csv_table(scratch / "n.csv").values.shape, (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(read_csv_table(scratch / "n.csv").names.empty());
  testing::write_csv(scratch / "b.csv", a, {"p", "q"});
  expect_same(read_csv_table(scratch / "b.csv").values, a);
  const auto error = [&](const char* text) {
    write_file(scratch / "c.csv", text);
    return error_of([&] { read_csv_table(scratch / "c.csv"); });
  };
  EXPECT_NE(error("1,2\n3\n").find("row 2: must have 2 columns; got 1"), std::string::npos);
  EXPECT_NE(error("1,2\n3,z\n").find("row 2 column 2"), std::string::npos);
  EXPECT_NE(error("a,b,c\n1,2\n").find("row 2: must have 3 columns; got 2"), std::string::npos);
  EXPECT_NE(error("").find("c.csv"), std::string::npos);
  EXPECT_NE(error("a,b\n").find("c.csv"), std::string::npos);
}

TEST(AtomicFile, KeepsTheGoodFileAndLeavesNoLitter) {
  const Scratch scratch;
  write_file(scratch / "f", "good");
  EXPECT_THROW(replace_file(scratch / "f",
                            [](const Path& p) {
                              write_file(p, "half");
                              throw std::runtime_error("full");
                            }),
               std::runtime_error);
  EXPECT_EQ(read_text(scratch / "f"), "good");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch / ""), {}), 1);
  EXPECT_NE(error_of([&] { write_file(scratch / "no/f", "x"); }).find("no/f"), std::string::npos);
  EXPECT_NE(error_of([&] { make_writable_directory(scratch / "f/g"); }).find("f/g"),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet::io
