// What a second-order score costs (after Meng et al. 2021, the comparison of computational cost):
// the direct s2 of a network against the Jacobian of the s1 of the same network. Change sizes,
// ranks and networks here.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "reproduce/reproduce.h"
#include "reproduce/shared/table.h"
#include "reproduce/speed/loss_scaling.h"
#include "scorejet/autodiff_field.h"
#include "scorejet/score_model.h"
#include "src/base/progress.h"
#include "src/base/seed.h"
#include "src/base/threads.h"
#include "src/io/atomic_file.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSpeedSigma = 0.5;

struct SpeedSize {
  std::vector<int64_t> image_shape;
  int64_t levels, channels;

  int64_t dim() const { return image_shape[0] * image_shape[1] * image_shape[2]; }
};

std::unique_ptr<models::ScoreModel> make_speed_model(const SpeedSize& size, int64_t rank) {
  models::ScoreModelOptions options;
  options.network.image_shape = size.image_shape;
  options.network.dim = size.dim();
  options.network.unet.levels = size.levels;
  options.network.unet.channels = size.channels;
  options.network.rank = rank;
  const at::Tensor ones = at::ones({options.network.dim});
  return std::make_unique<models::ScoreModel>(options, 0.2 * ones, 0.1 * ones);
}

at::Tensor images(int64_t count, int64_t dim) {
  return at::rand({count, dim}, base::make_generator(0, "speed"));
}

at::Tensor levels(const at::Tensor& x) { return at::full({x.size(0)}, kSpeedSigma); }

void direct(const models::ScoreModel& model, const at::Tensor& x) {
  at::NoGradGuard no_grad;
  model.evaluate(x, levels(x), 2);
}

void by_autodiff(const models::ScoreModel& model, const at::Tensor& x, int64_t copies) {
  const score::TracedJacobian jacobian(model, x, levels(x), copies);
  jacobian.apply_transposed(at::eye(model.dim()).unsqueeze(0));
}

// How many products at once take the least time, by trying a few of them each.
int64_t fastest_copies(const models::ScoreModel& model, const at::Tensor& x) {
  constexpr int64_t kProducts = 256;
  const std::vector<int64_t> candidates{1, 4, 16, 64, 256};
  std::vector<bench::Way> ways;
  for (const int64_t copies : candidates) {
    ways.push_back({[&, copies] {
                      const score::TracedJacobian jacobian(model, x, levels(x), copies);
                      jacobian.apply_transposed(
                          at::eye(model.dim()).narrow(0, 0, kProducts).unsqueeze(0));
                    },
                    3});
  }
  const std::vector<double> seconds = bench::median_seconds(ways);
  return candidates[static_cast<size_t>(std::min_element(seconds.begin(), seconds.end()) -
                                        seconds.begin())];
}

// `skipped` is told of the ranks that do not fit.
Rows measure_size(const SpeedSize& size, const std::vector<int64_t>& wanted, std::string& skipped) {
  constexpr int64_t kBatch = 16;
  std::vector<int64_t> ranks;
  std::vector<std::unique_ptr<models::ScoreModel>> networks;
  for (const int64_t rank : wanted) {
    if (rank > size.dim()) {
      skipped += fmt::format("\nSkipped: rank {} at D = {} and {} channels: more than D.\n", rank,
                             size.dim(), size.channels);
      continue;
    }
    ranks.push_back(rank);
    networks.push_back(make_speed_model(size, rank));
  }
  const models::ScoreModel& any = *networks.front();  // s1 is the same network at every rank
  const at::Tensor x = images(kBatch, any.dim()), one = x.narrow(0, 0, 1);
  const int64_t copies = fastest_copies(any, one);
  std::vector<bench::Way> ways{{[&] { by_autodiff(any, one, copies); }, 3}};
  for (const auto& network : networks) ways.push_back({[&] { direct(*network, x); }});
  const std::vector<double> seconds = bench::median_seconds(ways);
  const double autodiff_bytes = bench::peak_memory([&] { by_autodiff(any, one, copies); });
  Rows rows;
  for (size_t i = 0; i < ranks.size(); ++i) {
    const double each = seconds[i + 1] / static_cast<double>(kBatch);
    const double bytes = bench::peak_memory([&] { direct(*networks[i], one); });
    rows.push_back({{"dim", any.dim()},
                    {"channels", size.channels},
                    {"rank", ranks[i]},
                    {"direct_seconds", each},
                    {"autodiff_seconds", seconds[0]},
                    {"ratio", seconds[0] / each},
                    {"direct_mb", bytes / 1e6},
                    {"autodiff_mb", autodiff_bytes / 1e6},
                    {"products_at_once", copies},
                    {"threads", base::num_threads()}});
  }
  return rows;
}

// Writes table.{csv,json,md}: for images of 784 and 3,072 numbers, U-Nets of 32 and 64 channels and
// ranks 20, 50, 200 and 1,000 (those above D are skipped, and named) seconds and peak memory an
// image of s1 with the whole direct s2 (a diagonal and a factor), and of all D vector-Jacobian
// products of s1, as many at once as is fastest. Networks are as they are initialised: weights do
// not change what they cost. And scaling.{csv,json}, with its log-log slopes in table.md: how the
// order-2 loss grows with D and r (loss_scaling.h).
void speed(const ReproduceOptions& options) {
  const std::vector<int64_t> ranks =
      options.fast ? std::vector<int64_t>{20, 50} : std::vector<int64_t>{20, 50, 200, 1000};
  // At the default width and at that of docs/evidence/posterior.md.
  std::vector<SpeedSize> sizes{{{1, 28, 28}, 2, 32}};
  if (!options.fast) {
    sizes.push_back({{1, 28, 28}, 2, 64});
    for (const int64_t channels : {32, 64}) sizes.push_back({{3, 32, 32}, 3, channels});
  }
  Rows table;
  base::Progress bar("speed", static_cast<int64_t>(sizes.size()) + 1);
  int64_t done = 0;
  std::string skipped;
  for (const SpeedSize& size : sizes) {
    for (const Json& row : measure_size(size, ranks, skipped)) table.push_back(row);
    bar.update(++done, "");
  }
  const LossScaling scaling = measure_loss_scaling(options.fast);
  bar.update(++done, "");
  write_table(options.out / "table", table);
  write_table(options.out / "scaling", scaling.sizes);
  const std::string text =
      "# Seconds and peak memory an image, direct s2 against the Jacobian of s1\n\n" +
      markdown_table(table) + skipped + "\n# The order-2 loss and its gradient\n\n" +
      markdown_table(scaling.sizes) + "\n# Their log-log slopes\n\n" +
      markdown_table(scaling.slopes);
  io::write_file(options.out / "table.md", text);
  fmt::print("{}\n{}\n", text, (options.out / "table.md").string());
}

}  // namespace

Experiment speed_experiment() {
  return {"speed", "what a direct s2 costs against the Jacobian of s1, in time and memory", speed,
          /*repeats=*/false};
}

}  // namespace scorejet::reproduce
