// scorejet data fetch NAME, scorejet data sample NAME
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdint>
#include <memory>

#include "apps/commands.h"
#include "scorejet/dataset.h"
#include "scorejet/distribution.h"
#include "scorejet/settings.h"
#include "src/base/seed.h"
#include "src/data/fetch.h"
#include "src/io/npy.h"
#include "src/io/tensor_bridge.h"

namespace scorejet::apps {
namespace {

void add_fetch(CLI::App& data) {
  CLI::App* command = data.add_subcommand(
      "fetch", "Fetch a data set, verified.\n\nExample:\n  scorejet data fetch mnist --dir data");
  struct Options {
    std::string name, dir = "data";
  };
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, base::any_of(data::dataset_names()))->required();
  command->add_option("--dir", options->dir, "folder that holds data sets")->capture_default_str();
  command->callback([options] {
    data::fetch(options->name, options->dir,
                [](const std::string& line) { fmt::print("{}\n", line); });
  });
}

void add_sample_density(CLI::App& data) {
  CLI::App* command =
      data.add_subcommand("sample",
                          "Draw points of a known density, float64 [N, D].\n\nExample:\n"
                          "  scorejet data sample two-moons --count 10000 --out points.npy");
  struct Options {
    std::string name, out;
    int64_t count = 10000;
    double sigma = 0;
    uint64_t seed = 0;
  };
  auto options = std::make_shared<Options>();
  command
      ->add_option("name", options->name,
                   "density, with its dimension: " + distributions::describe_densities())
      ->required();
  command->add_option("--count", options->count, "number of points, at least 1")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--sigma", options->sigma, "standard deviation of noise that is added")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seed", options->seed, "random seed")->capture_default_str();
  command->add_option("--out", options->out, ".npy file to write")->required();
  command->callback([options] {
    const auto density = distributions::make_density(options->name);
    at::Tensor x =
        density->sample(options->count, base::make_generator(options->seed, options->name));
    if (options->sigma > 0) {
      x = x + options->sigma *
                  at::randn(x.sizes(), base::make_generator(options->seed, "noise"), x.options());
    }
    io::write_npy(options->out, io::from_tensor(x));
    fmt::print("{}: {} points of {}\n", options->out, options->count, options->name);
  });
}

}  // namespace
}  // namespace scorejet::apps

void scorejet::apps::add_data(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Public data sets, and samples of known densities");
  data->require_subcommand(1);
  add_fetch(*data);
  add_sample_density(*data);
}
