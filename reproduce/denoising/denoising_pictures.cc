#include "reproduce/denoising/denoising_pictures.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "src/io/tensor_bridge.h"
#include "src/report/picture_grid.h"
#include "src/report/plot.h"

namespace scorejet::reproduce {
namespace {

using report::Colormap;
using report::GridColumn;

constexpr report::ValueRange kUnit{0, 1};

io::NdArray tiles(const at::Tensor& x, const std::vector<int64_t>& shape) {
  return io::from_tensor(
      x.reshape({x.size(0), shape[0], shape[1], shape[2]}).to(at::kFloat).contiguous());
}

}  // namespace

void draw_denoised(const std::filesystem::path& path, const Posterior& posteriors,
                   const at::Tensor& clean, const at::Tensor& noisy,
                   const std::vector<int64_t>& image_shape, double sigma) {
  const auto add = [&](std::vector<GridColumn>& grid, const std::string& title,
                       const at::Tensor& values, Colormap map,
                       std::optional<report::ValueRange> range = {}) {
    grid.push_back({title, tiles(values, image_shape), map, range});
  };
  std::vector<GridColumn> grid;
  add(grid, "clean", clean, Colormap::kGrey, kUnit);
  add(grid, "noisy", noisy.clamp(0, 1), Colormap::kGrey, kUnit);
  add(grid, "mean", posteriors.mean.clamp(0, 1), Colormap::kGrey, kUnit);
  add(grid, "|error|", (clean - posteriors.mean).abs(), Colormap::kSequential);
  add(grid, "standard deviation", posteriors.variance.sqrt(), Colormap::kSequential);
  add(grid, "variance", posteriors.variance, Colormap::kSequential);
  for (int64_t k = 0; k < 4; ++k) {
    add(grid, fmt::format("component {}", k + 1), posteriors.components.select(1, k),
        Colormap::kDiverging);
  }
  report::write_picture_grid(path, grid, {}, fmt::format("Denoising at sigma {:g}", sigma));
}

void draw_walk(const std::filesystem::path& path, const Posterior& posteriors,
               const std::vector<int64_t>& image_shape, double sigma) {
  constexpr int64_t kComponents = 3;
  std::vector<std::string> labels;
  for (int64_t i = 0; i < posteriors.mean.size(0); ++i) {
    for (int64_t k = 0; k < kComponents; ++k) labels.push_back(fmt::format("component {}", k + 1));
  }
  std::vector<GridColumn> grid;
  for (int t = -3; t <= 3; ++t) {
    const at::Tensor step = t *
                            posteriors.eigenvalues.narrow(1, 0, kComponents).sqrt().unsqueeze(-1) *
                            posteriors.components.narrow(1, 0, kComponents);
    const at::Tensor walked = posteriors.mean.unsqueeze(1) + step;  // [N, K, D]
    grid.push_back({t == 0 ? "mean" : fmt::format("{:+d} sd", t),
                    tiles(walked.flatten(0, 1).clamp(0, 1), image_shape), Colormap::kGrey, kUnit});
  }
  report::write_picture_grid(path, grid, labels,
                             fmt::format("Along the leading components, sigma {:g}", sigma));
}

void draw_spectra(const std::filesystem::path& path, const std::vector<Spectrum>& spectra) {
  std::vector<report::Panel> panels;
  for (const Spectrum& spectrum : spectra) {
    const std::string title = fmt::format("sigma {:g}", spectrum.sigma);
    if (panels.empty() || panels.back().options.title != title) {
      report::PlotOptions options;
      options.title = title;
      options.xlabel = "number of the eigenvalue";
      options.ylabel = "mean variance";
      options.log_y = true;
      options.key_outside = true;
      options.height = 280;
      panels.push_back({{}, options});
    }
    report::Series series{spectrum.method, {}, spectrum.values};
    for (size_t k = 1; k <= series.y.size(); ++k) series.x.push_back(static_cast<double>(k));
    panels.back().series.push_back(series);
  }
  const auto result = report::write_panels(path, panels);
  if (!result.written) fmt::print(stderr, "scorejet: note: no plot: {}\n", result.reason);
}

}  // namespace scorejet::reproduce
