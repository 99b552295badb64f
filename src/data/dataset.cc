#include "scorejet/dataset.h"

#include <ATen/ATen.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/base/check.h"
#include "src/data/sources.h"
#include "src/io/atomic_file.h"
#include "src/io/csv.h"
#include "src/io/idx.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/png.h"
#include "src/io/tensor_bridge.h"

namespace scorejet::data {
namespace {

namespace fs = std::filesystem;
constexpr const char* kWhere = "data::load";

// [N, D] or images, as load_splits describes them.
Dataset from_array(const io::NdArray& array, const std::string& name) {
  Dataset dataset;
  dataset.name = name;
  at::Tensor x = io::to_tensor(array);
  const std::string found =
      fmt::format("{} {}", io::dtype_name(array.dtype), io::shape_string(array.shape));
  if (x.numel() == 0)
    base::fail_runtime(kWhere, "{} must hold samples; it is empty: {}", name, found);
  const bool bytes = x.scalar_type() == at::kByte;
  if (!bytes && !x.is_floating_point()) {
    base::fail_runtime(kWhere, "{} must hold float or uint8 numbers; got {}", name, found);
  }
  if (bytes && x.dim() == 3)
    x = x.unsqueeze(1);  // [N, H, W]
  else if (bytes && x.dim() == 4)
    x = x.permute({0, 3, 1, 2});  // [N, H, W, C]
  if (x.dim() == 4) {
    dataset.image_shape = {x.size(1), x.size(2), x.size(3)};
  } else if (x.dim() != 2) {
    base::fail_runtime(kWhere,
                       "{} must be float [N, D] or [N, C, H, W], or uint8 [N, H, W(, C)]; got {}",
                       name, found);
  }
  dataset.samples = x.reshape({x.size(0), -1}).contiguous();
  if (!bytes) {
    dataset.samples = dataset.samples.to(at::kFloat);
    base::check_finite(kWhere, name, dataset.samples);
  }
  return dataset;
}

// A CIFAR-10 sheet [10000, 1024, 3], one image a row, as rows of 3072 numbers by channel.
at::Tensor read_cifar_sheet(const fs::path& path) {
  const at::Tensor x = io::to_tensor(io::read_png(path));
  base::check_shape(kWhere, path.string(), x, {-1, 1024, 3});
  return x.permute({0, 2, 1}).reshape({x.size(0), 3072});
}

// `labels`, read from `path`, must be those of so many samples.
void check_labels(const Source& source, const at::Tensor& labels, int64_t num_samples,
                  const fs::path& path) {
  const int64_t last = source.num_classes - 1;
  if (labels.dim() != 1 || labels.size(0) != num_samples) {
    base::fail_runtime(kWhere, "{} must hold a label for each of {} samples; got {}", path.string(),
                       num_samples, io::shape_string(labels.sizes().vec()));
  }
  const int64_t min = labels.min().item<int64_t>(), max = labels.max().item<int64_t>();
  if (min < 0 || max > last) {
    base::fail_runtime(kWhere, "{} must hold labels from 0 to {}; got {}", path.string(), last,
                       min < 0 ? min : max);
  }
}

fs::path require(const fs::path& path, const std::string& name) {
  if (!fs::exists(path)) {
    base::fail_runtime(kWhere, "{} is missing; fetch it with: scorejet data fetch {} --dir {}",
                       path.string(), name, path.parent_path().parent_path().string());
  }
  return path;
}

struct Parts {
  Dataset all, test;
};

// An IDX file of images and, where it is there, one of labels.
Dataset load_idx(const Source& source, const fs::path& images, const fs::path& labels) {
  Dataset dataset = from_array(io::read_idx(require(images, source.name)), images.string());
  dataset.name = source.name;
  if (!fs::exists(labels)) return dataset;
  dataset.labels = io::to_tensor(io::read_idx(labels)).to(at::kLong);
  check_labels(source, dataset.labels, dataset.size(), labels);
  return dataset;
}

Parts load_idx_parts(const Source& source, const fs::path& folder) {
  const auto file = [&](size_t i) { return folder / source.files[i].name; };
  return {load_idx(source, file(0), file(1)), load_idx(source, file(2), file(3))};
}

// One of CIFAR-10's official binary files: rows of a label byte and 3072 colour bytes, by channel.
at::Tensor read_cifar_binary(const fs::path& path) {
  constexpr int64_t kRow = 1 + 3072, kRows = 10000;
  const std::vector<std::byte> bytes = io::read_file(path);
  if (static_cast<int64_t>(bytes.size()) != kRow * kRows) {
    base::fail_runtime(kWhere, "{} must have {} bytes; got {}", path.string(), kRow * kRows,
                       bytes.size());
  }
  return at::from_blob(const_cast<std::byte*>(bytes.data()), {kRows, kRow}, at::kByte).clone();
}

Dataset load_cifar_binary(const Source& source, const std::vector<fs::path>& files) {
  std::vector<at::Tensor> samples, labels;
  for (const fs::path& file : files) {
    const at::Tensor rows = read_cifar_binary(file);
    samples.push_back(rows.narrow(1, 1, 3072));
    labels.push_back(rows.select(1, 0));
    check_labels(source, labels.back(), rows.size(0), file);
  }
  return {source.name, at::cat(samples), {3, 32, 32}, at::cat(labels).to(at::kLong)};
}

// The sheets' labels: one JSON array of numbers, of all sheets in turn.
at::Tensor read_json_labels(const fs::path& path) {
  const nlohmann::json array = nlohmann::json::parse(io::read_text(path), nullptr, false);
  const auto whole = [](const nlohmann::json& entry) { return entry.is_number_integer(); };
  if (!array.is_array() || !std::all_of(array.begin(), array.end(), whole)) {
    base::fail_runtime(kWhere, "{} must be a JSON array of whole numbers", path.string());
  }
  return at::tensor(array.get<std::vector<int64_t>>());
}

Dataset load_cifar_sheets(const Source& source, const std::vector<fs::path>& files,
                          const fs::path& labels) {
  std::vector<at::Tensor> parts;
  for (const fs::path& file : files) parts.push_back(read_cifar_sheet(file));
  Dataset dataset{source.name, at::cat(parts), {3, 32, 32}};
  if (!fs::exists(labels)) return dataset;
  dataset.labels = read_json_labels(labels);
  check_labels(source, dataset.labels, dataset.size(), labels);
  return dataset;
}

// The sheets that fetch brings, or the official binary files put there by hand.
Parts load_cifar_parts(const Source& source, const fs::path& folder) {
  const bool binary = fs::exists(folder / "test_batch.bin");
  const auto file = [&](const std::string& stem) {
    return require(folder / (stem + (binary ? ".bin" : ".png")), source.name);
  };
  std::vector<fs::path> batches;
  for (int i = 1; i <= 5; ++i) batches.push_back(file(fmt::format("data_batch_{}", i)));
  const fs::path last = file("test_batch");
  if (binary) return {load_cifar_binary(source, batches), load_cifar_binary(source, {last})};
  return {load_cifar_sheets(source, batches, folder / "train_lables.json"),  // spelt so there
          load_cifar_sheets(source, {last}, folder / "test_lables.json")};
}

Dataset rows(const Dataset& from, int64_t first, int64_t count) {
  return {from.name, from.samples.narrow(0, first, count), from.image_shape,
          from.labels.defined() ? from.labels.narrow(0, first, count) : at::Tensor(), from.notice};
}

DatasetSplits split(const std::string& name, const Parts& parts, int64_t num_validation,
                    bool adapt) {
  const Dataset& all = parts.all;
  if (adapt && num_validation > all.size() / 2) {
    num_validation = std::max<int64_t>(1, all.size() / 10);
  }
  const int64_t training = all.size() - num_validation;
  if (training < 1) {
    base::fail_runtime(kWhere, "{} must hold more than data.validation = {} samples; got {}", name,
                       num_validation, all.size());
  }
  DatasetSplits splits{rows(all, 0, training), rows(all, training, num_validation), parts.test};
  if (!parts.test.samples.defined()) splits.test = splits.validation;
  return splits;
}

// One PNG, or a folder of them. 8 bits stay bytes; where any file has 16, all become floats.
Dataset load_pngs(const fs::path& path) {
  std::vector<at::Tensor> images;
  bool deep = false;
  for (const fs::path& file : io::list_pngs(path)) {
    const io::Picture picture = io::read_picture(file);
    // What lies under transparent pixels is arbitrary: nothing to learn a density from.
    if (!picture.opaque()) {
      base::fail_runtime(kWhere, "{} must be opaque; it has transparent pixels (flatten it first)",
                         file.string());
    }
    images.push_back(io::to_tensor(picture.samples));
    base::check_shape(kWhere, file.string(), images.back(), images[0].sizes());
    deep = deep || picture.bits() == 16;
  }
  if (!deep) return from_array(io::from_tensor(at::stack(images)), path.string());
  for (at::Tensor& image : images) {
    image = image.to(at::kFloat).div_(image.scalar_type() == at::kByte ? 255 : 65535);
  }
  return from_array(io::from_tensor(at::stack(images).permute({0, 3, 1, 2})), path.string());
}

}  // namespace

int64_t Dataset::size() const { return samples.size(0); }
int64_t Dataset::dim() const { return samples.size(1); }

at::Tensor Dataset::batch(const at::Tensor& indices) const {
  const at::Tensor x = samples.index_select(0, indices);
  return x.scalar_type() == at::kByte ? x.to(at::kFloat).div_(255) : x;
}

at::Tensor Dataset::slice(int64_t first, int64_t count) const {
  const at::Tensor x = samples.narrow(0, first, count);
  return x.scalar_type() == at::kByte ? x.to(at::kFloat).div_(255) : x;
}

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Source& source : sources()) all.push_back(source.name);
    return all;
  }();
  return names;
}

at::Tensor varying_coordinates(const Dataset& dataset) {
  return at::ne(dataset.samples.amin(0), dataset.samples.amax(0));
}

Dataset load_file(const fs::path& path) {
  const std::string name = path.string();
  if (!fs::exists(path)) {
    base::fail_runtime(
        kWhere, "{}: no such file, and no data set of that name (known: {}; nearest: {})", name,
        fmt::join(dataset_names(), ", "), base::nearest(name, dataset_names()));
  }
  if (fs::is_directory(path)) return load_pngs(path);
  const std::string extension = path.extension().string();
  if (extension == ".npy") return from_array(io::read_npy(path), name);
  if (extension == ".csv") {
    const io::CsvTable table = io::read_csv_table(path);
    Dataset dataset = from_array(table.values, name);
    dataset.notice = table.notice;
    return dataset;
  }
  if (extension == ".npz") {
    const io::NamedArrays arrays = io::read_npz(path);
    const auto found = arrays.size() == 1 ? arrays.begin() : arrays.find("x");
    if (found == arrays.end()) {
      base::fail_runtime(kWhere, "{} must hold one array, or one called x; got {} arrays", name,
                         arrays.size());
    }
    return from_array(found->second, name);
  }
  if (extension == ".png" || extension == ".PNG") return load_pngs(path);
  if (name.find("idx") != std::string::npos) return from_array(io::read_idx(path), name);
  base::fail_runtime(kWhere, "{} must be a .npy, .npz, .csv, .png or IDX file, or a folder of PNGs",
                     name);
}

DatasetSplits load_splits(const Source& source, const fs::path& dir, int64_t num_validation,
                          bool adapt) {
  const fs::path folder = dir / source.name;
  const Parts parts = source.layout == Layout::kIdx ? load_idx_parts(source, folder)
                                                    : load_cifar_parts(source, folder);
  return split(source.name, parts, num_validation, adapt);
}

DatasetSplits load_splits(const std::string& name, const fs::path& dir, int64_t num_validation,
                          bool adapt) {
  if (const Source* source = find_source(name)) {
    return load_splits(*source, dir, num_validation, adapt);
  }
  return split(name, {load_file(name), {}}, num_validation, adapt);
}

}  // namespace scorejet::data
