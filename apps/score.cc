// scorejet score RUN POINTS.npy
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "scorejet/base/error.h"
#include "scorejet/data/dataset.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/training/run_folder.h"

namespace {

using namespace scorejet;

struct Options {
  std::string run, points, out, structure, device = "auto";
  double sigma = 0;
  int order = 2;
};

// s2 as arrays, in the structure asked for. A coarser one than the model's is refused: it would
// silently drop part of s2 (diagonal of low rank is the exception: the diagonal itself).
void put_operator(io::NamedArrays& arrays, const linalg::SymmetricOperator& s2,
                  const std::string& text) {
  using linalg::Structure;
  const Structure wanted = text.empty() ? s2.structure() : linalg::parse_structure(text);
  if (wanted == Structure::kDense) {
    arrays["s2"] = io::from_tensor(s2.dense());
  } else if (wanted == Structure::kDiagonal) {
    arrays["s2_diagonal"] = io::from_tensor(s2.diagonal());
  } else if (s2.structure() == Structure::kLowRank) {
    arrays["s2_a"] = io::from_tensor(s2.diagonal_part());
    arrays["s2_b"] = io::from_tensor(s2.factor());
  } else {
    base::fail_argument("score", "--structure low_rank needs a low-rank model; this one is {}",
                        linalg::structure_name(s2.structure()));
  }
}

void score_points(const Options& o) {
  const training::Run run = training::load_run(o.run, o.device);
  const data::Dataset points = data::load_file(o.points);
  const at::Tensor x = points.slice(0, points.size()).to(run.model->data_mean().device());
  at::NoGradGuard no_grad;
  const score::Jet jet = run.model->evaluate(x, o.sigma, o.order);
  apps::print_notice(training::sigma_notice(run, o.sigma));
  io::NamedArrays arrays;
  arrays["s1"] = io::from_tensor(jet.s1);
  if (jet.s2) put_operator(arrays, *jet.s2, o.structure);
  io::write_npz(o.out, arrays);
  fmt::print("{}\n", o.out);
}

}  // namespace

void scorejet::apps::add_score(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "score",
      "Scores at points: s1, and s2 as s2 (dense), s2_diagonal, or s2_a and s2_b with "
      "s2 = diag(a) + b b^T.\n\nExample:\n"
      "  scorejet score runs/toy points.npy --sigma 0.1 --order 2 --structure dense --out s.npz");
  auto o = std::make_shared<Options>();
  command->add_option("run", o->run, "run folder")->required();
  command->add_option("points", o->points, "NPY, NPZ or CSV, rows are points")->required();
  command->add_option("--sigma", o->sigma, "noise level, > 0")->required();
  command->add_option("--order", o->order, "1 or 2")->capture_default_str();
  command->add_option("--structure", o->structure,
                      "dense, diagonal, low_rank; default: the model's");
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "NPZ to write")->required();
  command->callback([o] { score_points(*o); });
}
