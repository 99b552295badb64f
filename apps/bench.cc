// scorejet bench: prints what bench/bench.h measures.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "bench/bench.h"
#include "src/base/device.h"
#include "src/io/atomic_file.h"

namespace {

using namespace scorejet;
using bench::BenchFigure;
using bench::BenchReport;
using bench::Peak;

const char* unit(Peak peak) { return peak == Peak::kCopy ? "GB/s" : "GFLOP/s"; }

std::string peak_text(const BenchReport& report, Peak peak) {
  return fmt::format("{} {:.1f} {}", bench::peak_name(peak),
                     report.peaks[static_cast<size_t>(peak)] / 1e9, unit(peak));
}

// A Markdown table a group.
std::string to_text(const BenchReport& report) {
  std::string text =
      fmt::format("{}, {} thread{}: {}, {}, {}\n", report.device, report.threads,
                  report.threads == 1 ? "" : "s", peak_text(report, Peak::kGemm),
                  peak_text(report, Peak::kConvolution), peak_text(report, Peak::kCopy));
  std::string group;
  for (const BenchFigure& one : report.figures) {
    if (one.group != group) {
      group = one.group;
      text +=
          fmt::format("\n{}\n\n| part | ms | rate | share of peak |\n|---|---|---|---|\n", group);
    }
    text +=
        fmt::format("| {} | {:.3g} | {:.3g} {} | {:.0f} % of {} |\n", one.name, 1e3 * one.seconds,
                    one.rate / 1e9, unit(one.peak), 100 * one.share, bench::peak_name(one.peak));
  }
  return text;
}

nlohmann::ordered_json to_json(const BenchReport& report) {
  nlohmann::ordered_json json;
  json["device"] = report.device;
  json["threads"] = report.threads;
  json["gemm_flops_per_second"] = report.peaks[0];
  json["convolution_flops_per_second"] = report.peaks[1];
  json["copy_bytes_per_second"] = report.peaks[2];
  for (const BenchFigure& one : report.figures) {
    json["figures"].push_back({{"group", one.group},
                               {"name", one.name},
                               {"seconds", one.seconds},
                               {"rate", one.rate},
                               {"unit", one.peak == Peak::kCopy ? "bytes/s" : "flop/s"},
                               {"peak", bench::peak_name(one.peak)},
                               {"share", one.share}});
  }
  return json;
}

}  // namespace

void scorejet::apps::add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "bench",
      "How fast this machine runs a training step and its parts, posteriors and sampling kernels, "
      "each beside\nthe machine's own peak: a matrix product, a convolution, a copy, timed in the "
      "same rounds. Operations\nare those of convolutions and matrix products; bytes those that "
      "must move.\n\nExample:\n  scorejet bench --json bench.json");
  struct Options {
    double seconds = 1;
    std::string json, device = "cpu";
  };
  auto o = std::make_shared<Options>();
  command->add_option("--seconds", o->seconds, "that each case is run for, about")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--json", o->json, "file to write the figures to as well");
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->callback([o] {
    const at::Device device = base::parse_device(o->device);
    const BenchReport report = bench::run_bench(bench::bench_cases(device), o->seconds, device);
    fmt::print("{}", to_text(report));
    if (!o->json.empty()) io::write_file(o->json, to_json(report).dump(2) + "\n");
  });
}
