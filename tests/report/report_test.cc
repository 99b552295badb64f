// The report of a made-up run, and grids with known pixels.
#include <gtest/gtest.h>

#include <cmath>

#include "src/io/atomic_file.h"
#include "src/io/png.h"
#include "src/report/picture_grid.h"
#include "src/report/plot.h"
#include "src/report/run_report.h"
#include "tests/scratch.h"

namespace scorejet::report {
namespace {

using testing::error_of;
using testing::Scratch;

GridColumn column(float value) {
  GridColumn result;
  result.title = "mean";
  result.tiles = io::make_array(io::DType::kFloat32, {2, 1, 4, 4});
  for (int i = 0; i < 32; ++i) result.tiles.data<float>()[i] = value;
  result.range = ValueRange{0, 1};
  return result;
}

TEST(PictureGrid, PutsTheRightColourInTheRightPlace) {
  const Scratch scratch;
  const std::vector<GridColumn> columns{column(0), column(1)};
  const GridLayout layout = plan_picture_grid(columns, {}, "title");
  write_picture_grid(scratch / "g.png", columns, {}, "title");
  const io::NdArray image = io::read_png(scratch / "g.png");
  EXPECT_EQ(image.shape[0], layout.height);
  EXPECT_EQ(image.shape[1], layout.width);
  for (size_t k = 0; k < 2; ++k) {
    const int64_t y = layout.tile_y[1] + 2, x = layout.tile_x[k] + 2;
    const int64_t channels = image.shape[2];
    EXPECT_EQ(image.data<uint8_t>()[(y * layout.width + x) * channels], k == 0 ? 0 : 255);
  }
  GridColumn wrong = column(0);
  wrong.tiles.shape = {2, 16};
  EXPECT_THROW(plan_picture_grid({wrong}, {}, ""), std::invalid_argument);
  EXPECT_THROW(plan_picture_grid({}, {}, ""), std::invalid_argument);
}

TEST(RunReport, HoldsEachPart) {
  const Scratch scratch;
  std::filesystem::create_directories(scratch / "denoise");
  EXPECT_NE(error_of([&] { build_report(scratch / ""); }), "");  // no config.toml yet
  io::write_file(scratch / "config.toml", "[data]\nname = \"<mnist>\"\n");
  io::write_file(
      scratch / "metrics.jsonl",
      "{\"step\":20,\"seconds\":1.0,\"loss_s1\":0.5,\"loss_s2\":-1.0}\n"
      "{\"step\":40,\"seconds\":2.0,\"loss_s1\":0.4,\"validation_s1\":0.3}\n{\"step\":6");
  io::write_file(scratch / "denoise/metrics.json",
                 "{\"kind\":\"denoise\",\"title\":\"T\",\"command\":\"scorejet denoise\","
                 "\"psnr_denoised\":21.25,\"pictures\":[{\"file\":\"no.png\",\"caption\":\"c\"}]}");
  build_report(scratch / "");
  const std::string html = io::read_text(scratch / "report.html");
  for (const char* part : {"&lt;mnist&gt;", "21.25", "no.png", "scorejet denoise"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(html.find("<mnist>"), std::string::npos);
  io::write_file(scratch / "metrics.jsonl", "{\"step\":20}\nbroken\n{\"step\":40}\n");
  EXPECT_NE(error_of([&] { build_report(scratch / ""); }).find("metrics.jsonl"), std::string::npos);
}

TEST(Panels, StandBelowOneAnother) {
  const Scratch scratch;
  Panel good;
  good.series = {{"a", {0, 1, 2}, {1, 3, 2}}};
  good.options.width = 400;
  good.options.height = 150;
  Panel outside = good;
  outside.options.key_outside = true;
  outside.options.height = 200;
  const Panel empty{{{"b", {0}, {std::nan("")}}}};
  const PlotResult result = write_panels(scratch / "p.png", {good, empty, outside});
  EXPECT_EQ(result.num_dropped, 1);
  if (result.written) {  // where gnuplot is installed
    EXPECT_EQ(io::read_png(scratch / "p.png").shape, (std::vector<int64_t>{350, 400, 3}));
  } else {
    EXPECT_NE(result.reason.find("gnuplot"), std::string::npos) << result.reason;
  }
  EXPECT_NE(write_panels(scratch / "q.png", {empty}).reason.find("no finite"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(scratch / "q.png"));
  EXPECT_NE(error_of([&] { write_panels(scratch / "q.png", {}); }).find("got none"),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet::report
