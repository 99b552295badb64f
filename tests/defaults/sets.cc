#include "tests/defaults/sets.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <functional>
#include <utility>

#include "scorejet/dataset.h"
#include "scorejet/distribution.h"
#include "src/base/error.h"
#include "src/base/seed.h"
#include "tests/distributions/planar_names.h"

namespace scorejet::defaults {
namespace {

const auto kOptions = at::TensorOptions(at::kFloat);

at::Tensor normal(int64_t rows, int64_t columns, const at::Generator& random) {
  return at::randn({rows, columns}, random, kOptions);
}

// Rows of one level each, plus noise of 0.05: of D directions one has nearly all the variance.
at::Tensor levels(int64_t rows, int64_t columns, const at::Generator& random) {
  return at::rand({rows, 1}, random, kOptions) + 0.05 * normal(rows, columns, random);
}

// Ten correlated columns; one row in a hundred is a hundred times as far out.
at::Tensor outlier_rows(int64_t rows, const at::Generator& random) {
  const at::Tensor mix = normal(10, 10, random);
  const at::Tensor far = at::rand({rows, 1}, random, kOptions).lt(0.01);
  return at::matmul(normal(rows, 10, random), mix) * at::where(far, 100.0, 1.0).to(at::kFloat);
}

// Student's t with three degrees of freedom in columns whose scales run from 1e-2 to 1e2.
at::Tensor heavy_columns(int64_t rows, const at::Generator& random) {
  const at::Tensor chi =
      at::randn({rows, 5, 3}, random, kOptions).square().sum(-1).div(3).clamp_min(1e-3);
  return normal(rows, 5, random) * chi.rsqrt() * at::logspace(-2, 2, 5, 10, kOptions);
}

// Thirty columns of zeros and ones, one in ten a one.
at::Tensor zeros_and_ones(int64_t rows, const at::Generator& random) {
  return at::rand({rows, 30}, random, kOptions).lt(0.1).to(at::kFloat);
}

// Five clusters in twenty dimensions.
at::Tensor clusters(int64_t rows, const at::Generator& random) {
  const at::Tensor centres = 2 * normal(5, 20, random);
  const at::Tensor which = at::randint(5, {rows}, random, at::TensorOptions(at::kLong));
  return centres.index_select(0, which) + 0.3 * normal(rows, 20, random);
}

at::Tensor one_column(int64_t rows, const at::Generator& random) {
  return normal(rows, 1, random).exp();
}

using Made = std::function<at::Tensor(int64_t rows, const at::Generator& random)>;
struct Recipe {
  std::string name;
  int64_t rows;  // to train on
  Made make;
};

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> list{
      {"grey-pictures", 500,
       [](int64_t n, const auto& g) {
         return levels(n, 28 * 28, g).view({n, 1, 28, 28});
       }},
      {"grey-columns", 500, [](int64_t n, const auto& g) { return levels(n, 200, g); }},
      {"outlier-rows", 2000, outlier_rows},
      {"heavy-columns", 2000, heavy_columns},
      {"three-rows", 3, [](int64_t n, const auto& g) { return normal(n, 5, g); }},
      {"one-column", 1000, one_column},
      {"zeros-and-ones", 2000, zeros_and_ones},
      {"clusters", 2000, clusters}};
  return list;
}

const std::vector<std::string>& public_sets() {
  static const std::vector<std::string> names{"mnist", "fashion-mnist", "cifar10-grey"};
  return names;
}

SampleSet cut(const std::string& name, const at::Tensor& all, int64_t rows) {
  return {name, all.narrow(0, 0, rows), all.narrow(0, rows, all.size(0) - rows)};
}

// Pictures as float, 4,000 to train on and the first 500 of the test set.
SampleSet public_set(const std::string& name, const std::filesystem::path& data_dir) {
  const bool grey = name == "cifar10-grey";
  const auto splits = data::load_splits(grey ? "cifar10" : name, data_dir, 1000);
  const auto pictures = [&](const data::Dataset& set, int64_t count) {
    const auto& shape = set.image_shape;
    const at::Tensor x = set.slice(0, count).view({count, shape[0], shape[1], shape[2]});
    return x.mean(1, true);
  };
  return {name, pictures(splits.train, 4000), pictures(splits.test, 500)};
}

}  // namespace

const std::vector<std::string>& set_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Recipe& recipe : recipes()) all.push_back(recipe.name);
    for (const std::string& name : testing::planar_names()) all.push_back(name);
    all.push_back("three-pictures");
    for (const std::string& name : public_sets()) all.push_back(name);
    return all;
  }();
  return names;
}

SampleSet make_set(const std::string& name, const std::filesystem::path& data_dir) {
  constexpr int64_t kTest = 1000;
  const at::Generator random = base::make_generator(2026, name);
  for (const Recipe& recipe : recipes()) {
    if (recipe.name == name) {
      return cut(name, recipe.make(recipe.rows + kTest, random), recipe.rows);
    }
  }
  for (const std::string& known : testing::planar_names()) {
    if (known != name) continue;
    const at::Tensor all = distributions::make_density(name)->sample(5000 + kTest, random);
    return cut(name, all.to(at::kFloat), 5000);
  }
  if (name == "three-pictures") {
    return cut(name, at::rand({3 + kTest, 1, 8, 8}, random, kOptions), 3);
  }
  for (const std::string& known : public_sets()) {
    if (known == name) return public_set(name, data_dir);
  }
  base::fail_argument("defaults::make_set", "set must be one of {}; got \"{}\"",
                      fmt::join(set_names(), ", "), name);
}

}  // namespace scorejet::defaults
