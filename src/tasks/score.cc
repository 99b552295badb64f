#include "scorejet/tasks.h"

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/dataset.h"
#include "src/base/check.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "src/training/run_folder.h"

namespace scorejet::tasks {
namespace {

// s2 as arrays, in the structure asked for. A coarser one than the model's is refused: it would
// silently drop part of s2 (diagonal of low rank is the exception: the diagonal itself).
void put_s2(ScoreArrays& arrays, const linalg::SymmetricOperator& s2, const std::string& text) {
  using linalg::Structure;
  const Structure wanted = text.empty() ? s2.structure() : linalg::parse_structure(text);
  if (wanted == Structure::kDense) {
    arrays["s2"] = s2.dense();
  } else if (wanted == Structure::kDiagonal) {
    arrays["s2_diagonal"] = s2.diagonal();
  } else if (s2.structure() == Structure::kLowRank) {
    arrays["s2_a"] = s2.diagonal_part();
    arrays["s2_b"] = s2.factor();
  } else {
    base::fail_argument("score", "--structure low_rank needs a low-rank model; this one is {}",
                        linalg::structure_name(s2.structure()));
  }
}

// s3 likewise. The dense tensor has D³ numbers a point: it is made only where asked for.
void put_s3(ScoreArrays& arrays, const linalg::SymmetricTensor& s3, const std::string& text) {
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
    arrays["s3"] = s3.dense();
  } else if (wanted == Structure::kDiagonal) {
    arrays["s3_diagonal"] = s3.diagonal();
  } else if (s3.structure() == Structure::kLowRank) {
    arrays["s3_c"] = s3.diagonal_part();
    arrays["s3_gamma"] = s3.weights();
    arrays["s3_w"] = s3.factor();
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

void check_score_order(const ScoreOptions& o, const training::Run& run) {
  const int order = run.model->max_order();
  if (o.order > order) {
    base::fail_argument("score", "--order must be at most {}, what {} was trained for; got {}{}",
                        order, o.run.string(), o.order,
                        o.order == 3 ? " (an s3 needs model.s3 in training)" : "");
  }
  if (!o.direction.empty() && o.order != 3) {
    base::fail_argument("score", "--direction needs --order 3; got order {}", o.order);
  }
}

}  // namespace

ScoreArrays score(const ScoreOptions& o, const base::Listener& listener) {
  const training::Run run = training::load_run(o.run, o.device);
  const data::Dataset points = data::load_file(o.points);
  listener.on_notice(points.notice);
  const at::Tensor x = points.slice(0, points.size()).to(run.model->data_mean().device());
  check_score_order(o, run);
  at::NoGradGuard no_grad;
  const scorejet::score::Jet jet = run.model->evaluate(x, o.sigma, o.order);
  if (listener.stopped()) return {};
  listener.on_notice(training::sigma_notice(run, o.sigma));
  ScoreArrays arrays;
  arrays["s1"] = jet.s1;
  if (jet.s2) put_s2(arrays, *jet.s2, o.structure);
  if (jet.s3 && o.direction.empty()) put_s3(arrays, *jet.s3, o.structure);
  if (jet.s3 && !o.direction.empty()) {
    const at::Tensor v = read_direction(o.direction, x);
    arrays["s3_vv"] = jet.s3->apply(v);
    arrays["s3_vvv"] = jet.s3->cubic_form(v);
  }
  io::NamedArrays file;
  for (const auto& [name, values] : arrays) file[name] = io::from_tensor(values);
  io::write_npz(o.out, file);
  return arrays;
}

}  // namespace scorejet::tasks
