// What every public data set's entry must be, and that small files of its layout, under the names
// that it gives, are read as what they are. (CIFAR-10's layout: dataset_test.cc.)
#include "tests/data/conformance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "scorejet/dataset.h"
#include "src/io/atomic_file.h"
#include "tests/scratch.h"

namespace scorejet::data {
namespace {

TEST(SourceConformance, SaysWhereItComesFromAndWhatItsFilesAre) {
  std::set<std::string> names;
  for (const Source& source : sources_under_test()) {
    SCOPED_TRACE(source.name);
    EXPECT_TRUE(names.insert(source.name).second);
    const bool debian = source.package.empty();
    EXPECT_TRUE(debian ? source.folder.starts_with("/usr/share/") : source.package.find('@') > 0);
    EXPECT_GT(source.num_classes, 1);
    EXPECT_GE(source.files.size(), 4U);
    std::set<std::string> files;
    for (const SourceFile& file : source.files) {
      EXPECT_TRUE(files.insert(file.name).second) << file.name;
      EXPECT_GT(file.size, 0) << file.name;
      EXPECT_EQ(file.md5.size(), 32U) << file.name;
      EXPECT_EQ(file.md5.find_first_not_of("0123456789abcdef"), std::string::npos) << file.name;
    }
  }
}

// An IDX file of `count` images of 1 × 2, all `first`, `first` + 1, ..., or of such labels.
std::string small_idx(int count, int first, bool images) {
  std::string text{'\0', '\0', '\x08', images ? '\3' : '\1',
                   '\0', '\0', '\0',   static_cast<char>(count)};
  if (images) text += std::string{'\0', '\0', '\0', '\1', '\0', '\0', '\0', '\2'};
  for (int i = 0; i < count; ++i) {
    text += std::string(images ? 2 : 1, static_cast<char>(first + i));
  }
  return text;
}

TEST(SourceConformance, FilesOfItsLayoutAreReadByTheirNames) {
  for (const Source& source : sources_under_test()) {
    if (source.layout != Layout::kIdx) continue;
    SCOPED_TRACE(source.name);
    const testing::Scratch scratch;
    const auto folder = scratch / source.name;
    const auto load = [&] { return load_splits(source, scratch / "", 1); };
    EXPECT_NE(testing::error_of(load).find("scorejet data fetch " + source.name + " --dir"),
              std::string::npos);
    std::filesystem::create_directory(folder);
    for (size_t i = 0; i < 4; ++i) {
      const int count = i < 2 ? 4 : 2, last = static_cast<int>(source.num_classes) - 1;
      const bool images = i % 2 == 0;
      io::write_file(folder / source.files[i].name,
                     small_idx(count, images ? 3 : last - count + 1, images));
    }
    const DatasetSplits splits = load();
    EXPECT_EQ(splits.train.name, source.name);
    EXPECT_EQ(splits.train.size(), 3);
    EXPECT_EQ(splits.validation.size(), 1);
    EXPECT_EQ(splits.test.size(), 2);
    EXPECT_EQ(splits.train.image_shape, (std::vector<int64_t>{1, 1, 2}));
    EXPECT_EQ(splits.validation.samples[0][1].item<int64_t>(), 6);
    EXPECT_EQ(splits.validation.labels[0].item<int64_t>(), source.num_classes - 1);
    EXPECT_EQ(splits.test.labels[0].item<int64_t>(), source.num_classes - 2);
    io::write_file(folder / source.files[3].name,
                   small_idx(2, static_cast<int>(source.num_classes) - 1, false));
    EXPECT_NE(testing::error_of(load).find(fmt::format("got {}", source.num_classes)),
              std::string::npos);
  }
}

TEST(SourceConformance, ItIsKnownByName) {
  for (const Source& source : sources()) {
    EXPECT_EQ(find_source(source.name), &source);
    EXPECT_EQ(std::count(dataset_names().begin(), dataset_names().end(), source.name), 1);
  }
  EXPECT_EQ(find_source("no-such-set"), nullptr);
}

}  // namespace
}  // namespace scorejet::data
