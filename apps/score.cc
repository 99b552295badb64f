// scorejet score RUN POINTS.npy
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "apps/commands.h"
#include "scorejet/base/check.h"
#include "scorejet/data/dataset.h"
#include "scorejet/io/npy.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/training/run_folder.h"

namespace {

using namespace scorejet;

struct Options {
  std::string run, points, out, structure, direction, device = "auto";
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

// s3 likewise. The dense tensor has D³ numbers a point: it is made only where asked for.
void put_tensor(io::NamedArrays& arrays, const linalg::SymmetricTensor& s3,
                const std::string& text) {
  using linalg::Structure;
  const Structure wanted = text.empty() ? s3.structure() : linalg::parse_structure(text);
  if (wanted == Structure::kDense) {
    constexpr double kMaxNumbers = 1e9;
    const double numbers =
        static_cast<double>(s3.batch()) * std::pow(static_cast<double>(s3.dim()), 3);
    if (numbers > kMaxNumbers) {
      base::fail_argument("score",
                          "--structure dense must give at most {:g} numbers at order 3; got {} "
                          "points of D = {}, {:g} (use low_rank, diagonal or --direction)",
                          kMaxNumbers, s3.batch(), s3.dim(), numbers);
    }
    arrays["s3"] = io::from_tensor(s3.dense());
  } else if (wanted == Structure::kDiagonal) {
    arrays["s3_diagonal"] = io::from_tensor(s3.diagonal());
  } else if (s3.structure() == Structure::kLowRank) {
    arrays["s3_c"] = io::from_tensor(s3.diagonal_part());
    arrays["s3_gamma"] = io::from_tensor(s3.weights());
    arrays["s3_w"] = io::from_tensor(s3.factor());
  } else {
    base::fail_argument("score", "--structure low_rank needs a low-rank s3; this one is {}",
                        linalg::structure_name(s3.structure()));
  }
}

// [N, D] from a file of one direction [D] or one a point [N, D].
at::Tensor read_direction(const std::string& path, const at::Tensor& x) {
  const io::NdArray array = io::read_npy(path);
  const std::vector<int64_t> one{x.size(1)}, each = x.sizes().vec();
  if (array.shape != one && array.shape != each) {
    base::fail_argument("score", "--direction must hold [{}] or {}; got {} in {}", x.size(1),
                        io::shape_string(each), io::shape_string(array.shape), path);
  }
  const at::Tensor v = io::to_tensor(array).to(x.options()).expand(each);
  base::check_finite("score", "--direction", v);
  return v;
}

void check_order(const Options& o, const training::Run& run) {
  const int order = run.model->max_order();
  if (o.order > order) {
    base::fail_argument("score", "--order must be at most {}, what {} was trained for; got {}{}",
                        order, o.run, o.order,
                        o.order == 3 ? " (an s3 needs model.s3 in training)" : "");
  }
  if (!o.direction.empty() && o.order != 3) {
    base::fail_argument("score", "--direction needs --order 3; got order {}", o.order);
  }
}

void score_points(const Options& o) {
  const training::Run run = training::load_run(o.run, o.device);
  const data::Dataset points = data::load_file(o.points);
  apps::print_notice(points.notice);
  const at::Tensor x = points.slice(0, points.size()).to(run.model->data_mean().device());
  check_order(o, run);
  at::NoGradGuard no_grad;
  const score::Jet jet = run.model->evaluate(x, o.sigma, o.order);
  apps::print_notice(training::sigma_notice(run, o.sigma));
  io::NamedArrays arrays;
  arrays["s1"] = io::from_tensor(jet.s1);
  if (jet.s2) put_operator(arrays, *jet.s2, o.structure);
  if (jet.s3 && o.direction.empty()) put_tensor(arrays, *jet.s3, o.structure);
  if (jet.s3 && !o.direction.empty()) {
    const at::Tensor v = read_direction(o.direction, x);
    arrays["s3_vv"] = io::from_tensor(jet.s3->apply(v));
    arrays["s3_vvv"] = io::from_tensor(jet.s3->cubic_form(v));
  }
  io::write_npz(o.out, arrays);
  fmt::print("{}\n", o.out);
}

}  // namespace

void scorejet::apps::add_score(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "score",
      "Scores at points: s1; s2 as s2 (dense), s2_diagonal, or s2_a and s2_b with "
      "s2 = diag(a) + b b^T; s3 as s3 (dense), s3_diagonal, or s3_c, s3_gamma and s3_w with "
      "s3 = sum_j gamma_j w_j^3 + diag3(c).\n\nExample:\n"
      "  scorejet score runs/toy points.npy --sigma 0.1 --order 2 --structure dense --out s.npz");
  auto o = std::make_shared<Options>();
  command->add_option("run", o->run, "run folder")->required();
  command->add_option("points", o->points, "NPY, NPZ or CSV, rows are points")->required();
  command->add_option("--sigma", o->sigma, "noise level, > 0")->required();
  command->add_option("--order", o->order, "1, 2 or 3")->capture_default_str();
  command->add_option("--structure", o->structure,
                      "dense, diagonal, low_rank; default: the model's");
  command->add_option("--direction", o->direction,
                      "NPY of v, [D] or [N, D]: s3[v, v] as s3_vv and s3[v, v, v] as s3_vvv, in "
                      "place of s3");
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "NPZ to write")->required();
  command->callback([o] { score_points(*o); });
}
