// A data set in memory: N samples of D numbers, with the image shape and labels where there are
// any. Add a data set in sources.cc; a new layout of files, or a new format, in dataset.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace scorejet::data {

struct Dataset {
  std::string name;
  at::Tensor samples;                // [N, D], uint8 (images, 0..255) or float32
  std::vector<int64_t> image_shape;  // {channels, height, width}, or empty for vectors
  at::Tensor labels = {};            // [N], int64, classes from 0; undefined where there are none
  std::string notice = {};  // one line for the user where reading the file took a guess, or ""

  int64_t size() const;
  int64_t dim() const;
  bool is_image() const { return !image_shape.empty(); }

  // Rows `indices` ([n], int64) as float32 [n, D]; uint8 is divided by 255, so images lie in [0,
  // 1].
  at::Tensor batch(const at::Tensor& indices) const;
  // Rows first .. first + count - 1, likewise.
  at::Tensor slice(int64_t first, int64_t count) const;
};

struct DatasetSplits {
  Dataset train;
  Dataset validation;  // held out of train
  Dataset test;        // the official test set; for files of the user's own, the validation rows
};

// Names that load_splits takes besides a path, those of sources(): "mnist", ...
const std::vector<std::string>& dataset_names();

// Loads `name` from `dir` (as `scorejet data fetch` leaves it there), or, when `name` is a path, a
// file or folder of the user's: .npy, .npz (its only array, or the one called "x"), .csv, an IDX
// file, a PNG or a folder of PNGs of one size (8 or 16 bit; opaque, whether they have an alpha or
// not). A float array [N, D] is a set of vectors; uint8 [N, H, W] or [N, H, W, C] and float
// [N, C, H, W] are images.
// `num_validation` rows are held out of the training rows: the last ones. The named sets have
// labels when their label files are there; files of the user's own have none. With `adapt` a
// tenth of the training rows are held out (one at least) where those asked for are more than half.
// Errors: std::runtime_error naming the file: missing (and the command that fetches it), empty,
// fewer rows than num_validation + 1, wrong shape or type, NaN or infinite values (with the row),
// transparent pixels, labels of another number than the samples or out of their range.
DatasetSplits load_splits(const std::string& name, const std::filesystem::path& dir,
                          int64_t num_validation, bool adapt = false);

struct Source;  // sources.h
// The set of a source alone, whether it is in the list or not.
DatasetSplits load_splits(const Source& source, const std::filesystem::path& dir,
                          int64_t num_validation, bool adapt = false);

// Which coordinates take more than one value in the data set: bool [D].
at::Tensor varying_coordinates(const Dataset& dataset);

// One file or folder of samples, as above, without splitting.
Dataset load_file(const std::filesystem::path& path);

}  // namespace scorejet::data
