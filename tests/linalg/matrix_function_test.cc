// Matrix functions against dense float64: every structure, spectra from -1e4 to 10, steps from 1e-6
// to 10, the error estimate held to the true error, and the fast path to its portable twin.
#include "src/linalg/matrix_function.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>

#include "src/linalg/krylov/krylov_space.h"
#include "src/linalg/krylov/tridiagonal.h"

namespace scorejet::linalg {
namespace {

const auto kDoubles = at::TensorOptions(at::kDouble);

std::vector<ScalarFunction> ozaki(const at::Tensor& epsilon) {
  return {[=](const at::Tensor& t) { return epsilon * phi1(epsilon * t); },
          [=](const at::Tensor& t) { return (2 * epsilon * phi1(2 * epsilon * t)).sqrt(); }};
}
std::vector<ScalarFunction> ozaki(double epsilon) {
  return ozaki(at::scalar_tensor(epsilon, kDoubles));
}

// The oracle: eigh of the operator as stored, in float64, by nothing but its definition.
at::Tensor oracle(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
                  const at::Tensor& v) {
  at::Tensor matrix = op.structure() == Structure::kDense
                          ? op.matrix().to(at::kDouble)
                          : at::diag_embed(op.diagonal_part().to(at::kDouble));
  if (op.structure() == Structure::kLowRank) {
    const at::Tensor f = op.factor().to(at::kDouble);
    matrix = matrix + at::matmul(f, f.transpose(1, 2));
  }
  const auto [values, q] = at::linalg_eigh(matrix);
  std::vector<at::Tensor> columns;
  for (size_t j = 0; j < functions.size(); ++j) {
    const at::Tensor vj = v.select(2, static_cast<int64_t>(j)).to(at::kDouble).unsqueeze(-1);
    columns.push_back(
        at::matmul(q, functions[j](values).unsqueeze(-1) * at::matmul(q.transpose(1, 2), vj)));
  }
  return at::cat(columns, -1);
}

// Largest relative error over rows and columns.
double worst(const at::Tensor& value, const at::Tensor& exact) {
  return ((value.to(at::kDouble) - exact).norm(2, 1) / exact.norm(2, 1)).max().item<double>();
}

enum class Spectrum { kLogSpaced, kClustered, kOutliers, kModel };

// A batch whose diagonal spans [-largest, 0) and whose factor lifts a few eigenvalues to about 10.
SymmetricOperator random_operator(Spectrum kind, int64_t batch, int64_t dim, int64_t rank,
                                  double largest) {
  at::Tensor a;
  switch (kind) {
    case Spectrum::kLogSpaced:
      a = -largest * at::pow(10.0, -6 * at::rand({batch, dim}, kDoubles));
      break;
    case Spectrum::kClustered:
      a = -largest * (0.2 * at::randint(1, 6, {batch, dim}, kDoubles)) +
          1e-3 * at::randn({batch, dim}, kDoubles);
      break;
    case Spectrum::kOutliers:
      a = -largest * at::rand({batch, dim}, kDoubles).square();
      break;
    case Spectrum::kModel:
      a = -0.5 - 3.5 * at::rand({batch, dim}, kDoubles);
      break;
  }
  const at::Tensor size =
      std::sqrt((kind == Spectrum::kModel ? 3.0 : 10.0) / static_cast<double>(dim)) *
      at::exp(-0.3 * at::arange(rank, kDoubles));
  // The last kind of outlier lies in a few coordinates where a is small, so that it stays positive.
  at::Tensor factor = at::randn({batch, dim, rank}, kDoubles) * size;
  if (kind == Spectrum::kOutliers) {
    factor.zero_();
    for (int64_t k = 0; k < std::min<int64_t>(rank, 3); ++k) {
      factor.select(1, k).select(1, k).fill_(std::sqrt(10.0 - 2 * static_cast<double>(k)));
      a.select(1, k).fill_(-0.01);
    }
  }
  return SymmetricOperator::from_low_rank(a, factor);
}

TEST(Tridiagonal, EqualsEigh) {
  torch::manual_seed(1);
  for (int64_t m : {1, 2, 7, 40}) {
    for (double scale : {1e-200, 1.0, 1e200}) {
      const at::Tensor alpha = scale * at::randn({m}, kDoubles);
      at::Tensor beta = scale * at::rand({m}, kDoubles);
      if (m > 5) beta[3] = 0;  // a matrix that splits
      const at::Tensor off = beta.narrow(0, 0, m - 1) / scale;
      const at::Tensor t = at::diag(alpha / scale) + at::diag(off, 1) + at::diag(off, -1);
      const auto e =
          tridiagonal_eigen(alpha.data_ptr<double>(), beta.data_ptr<double>(), m, Components::kAll);
      ASSERT_TRUE(e.converged);
      const at::Tensor theta = at::tensor(e.values, kDoubles) / scale;
      const at::Tensor u = at::tensor(e.vectors, kDoubles).view({m, m});  // lines
      EXPECT_LT((theta - std::get<0>(at::linalg_eigh(t))).abs().max().item<double>(), 1e-13);
      EXPECT_LT((at::matmul(u, t) - theta.unsqueeze(1) * u).abs().max().item<double>(), 1e-13);
      EXPECT_LT((at::matmul(u, u.t()) - at::eye(m, kDoubles)).abs().max().item<double>(), 1e-13);
      const auto ends = tridiagonal_eigen(alpha.data_ptr<double>(), beta.data_ptr<double>(), m,
                                          Components::kFirstAndLast);
      const at::Tensor two = at::tensor(ends.vectors, kDoubles).view({m, 2});
      EXPECT_LT((two.select(1, 1) - u.select(1, m - 1)).abs().max().item<double>(), 1e-15);
    }
  }
  const double bad[] = {1.0, std::nan("")}, beta[] = {1.0};
  EXPECT_FALSE(tridiagonal_eigen(bad, beta, 2, Components::kAll).converged);
}

// Every spectrum and step: the true error is below the tolerance and below the estimate; the
// looser tolerance of the control breaks the tighter bound, so that the test can fail.
TEST(MatrixFunction, EstimateBoundsTrueErrorOverRandomSpectra) {
  torch::manual_seed(2);
  int loose_beyond = 0;
  for (Spectrum kind :
       {Spectrum::kLogSpaced, Spectrum::kClustered, Spectrum::kOutliers, Spectrum::kModel}) {
    for (double largest : {1.0, 100.0, 1e4}) {
      for (double epsilon : {1e-6, 1e-3, 0.1, 1.0, 10.0}) {
        const SymmetricOperator op = random_operator(kind, 3, 150, 8, largest);
        const at::Tensor v = at::randn({3, 150, 2}, kDoubles);
        const auto functions = ozaki(epsilon);
        const at::Tensor exact = oracle(op, functions, v);
        for (double tolerance : {1e-2, 1e-6, 1e-10}) {
          const auto result = apply_functions(op, functions, v, {.tolerance = tolerance});
          const double error = worst(result.values, exact);
          EXPECT_TRUE(result.converged);
          EXPECT_LE(error, tolerance) << fmt::format("kind {} {} {}", int(kind), largest, epsilon);
          if (result.error > 0) {
            EXPECT_LE(error, result.error + 1e-11)
                << fmt::format("kind {} {} {}", int(kind), largest, epsilon);
          }
          if (tolerance == 1e-2 && error > 1e-6) ++loose_beyond;
        }
      }
    }
  }
  EXPECT_GT(loose_beyond, 10) << "the control: a loose tolerance must show";
}

TEST(MatrixFunction, Float32MeetsTheToleranceToo) {
  torch::manual_seed(3);
  for (Spectrum kind :
       {Spectrum::kLogSpaced, Spectrum::kClustered, Spectrum::kOutliers, Spectrum::kModel}) {
    for (double largest : {1.0, 1e4}) {
      for (double epsilon : {1e-6, 1e-2, 0.5, 5.0}) {
        const SymmetricOperator wide = random_operator(kind, 3, 150, 8, largest);
        const SymmetricOperator op = SymmetricOperator::from_low_rank(
            wide.diagonal_part().to(at::kFloat), wide.factor().to(at::kFloat));
        const at::Tensor v = at::randn({3, 150, 2});
        const auto functions = ozaki(epsilon);
        const at::Tensor exact = oracle(op, functions, v);
        for (double tolerance : {1e-4, 1e-5, 1e-6}) {
          const auto result = apply_functions(op, functions, v, {.tolerance = tolerance});
          const double error = worst(result.values, exact);
          EXPECT_TRUE(result.converged);
          if (result.error > 0) {
            EXPECT_LE(error, result.error);
          }
          EXPECT_LE(error, tolerance) << fmt::format("kind {} {} {}", int(kind), largest, epsilon);
        }
        const auto dense = SymmetricOperator::from_dense(op.dense());
        EXPECT_LT(worst(apply_functions(dense, functions, v).values, oracle(dense, functions, v)),
                  2e-7);
      }
    }
  }
}

TEST(MatrixFunction, DiagonalEqualsDense) {
  torch::manual_seed(4);
  for (double epsilon : {1e-6, 1.0, 10.0}) {
    const at::Tensor a = 10 - 1e4 * at::rand({3, 90}, kDoubles);
    const at::Tensor v = at::randn({3, 90, 2}, kDoubles);
    const auto op = SymmetricOperator::from_diagonal(a);
    const auto no_columns = SymmetricOperator::from_low_rank(a, at::empty({3, 90, 0}, kDoubles));
    const auto functions = ozaki(epsilon);
    const at::Tensor exact = oracle(op, functions, v);
    EXPECT_LT(worst(apply_functions(op, functions, v).values, exact), 1e-12);
    EXPECT_LT(worst(apply_functions(no_columns, functions, v).values, exact), 1e-12);
  }
}

TEST(MatrixFunction, DegenerateOperators) {
  torch::manual_seed(5);
  constexpr int64_t kDim = 100;
  const at::Tensor zero_factor = at::zeros({2, kDim, 3}, kDoubles);
  const at::Tensor equal = at::full({2, kDim}, -2.0, kDoubles);
  const at::Tensor random = -4 * at::rand({2, kDim}, kDoubles);
  const SymmetricOperator cases[] = {
      SymmetricOperator::from_low_rank(equal, zero_factor),                        // one eigenvalue
      SymmetricOperator::from_low_rank(random, zero_factor),                       // F = 0
      SymmetricOperator::from_low_rank(equal, at::randn({2, kDim, 2}, kDoubles)),  // three
      SymmetricOperator::from_low_rank(random, at::randn({2, kDim, 1}, kDoubles)),
      SymmetricOperator::from_low_rank(random, 0.1 * at::randn({2, kDim, kDim + 7}, kDoubles)),
      SymmetricOperator::from_low_rank(at::zeros({2, kDim}, kDoubles), zero_factor)};  // A = 0
  for (const SymmetricOperator& op : cases) {
    const at::Tensor v = at::randn({2, kDim, 2}, kDoubles);
    const auto functions = ozaki(0.3);
    const at::Tensor exact = oracle(op, functions, v);
    for (bool portable : {false, true}) {
      const auto result = apply_functions(op, functions, v, {.portable = portable});
      EXPECT_LE(worst(result.values, exact), 1e-6);
      EXPECT_TRUE(result.converged);
    }
    const auto zero = apply_functions(op, functions, at::zeros_like(v));
    EXPECT_EQ(zero.values.abs().max().item<double>(), 0);
    EXPECT_TRUE(zero.converged);
  }
}

TEST(MatrixFunction, FastPathEqualsItsPortableTwin) {
  torch::manual_seed(6);
  for (int64_t dim : {17, 100, 131, 784}) {  // 784: a multiple of the vectors' width
    for (int64_t rank : {1, 6, 51}) {
      for (at::ScalarType type : {at::kFloat, at::kDouble}) {
        for (int64_t columns : {1, 2, 3}) {
          for (bool by_column : {false, true}) {  // how F lies in memory
            const int64_t batch = columns == 1 ? 1 : 3;
            const at::Tensor a = -4 * at::rand({batch, dim});
            at::Tensor f = 0.1 * at::randn({batch, dim, rank});
            if (by_column) f = f.transpose(1, 2).contiguous().transpose(1, 2);
            const auto op = SymmetricOperator::from_low_rank(a.to(type), f.to(type));
            const at::Tensor v = at::randn({batch, dim, columns}).to(type);
            const auto fast = make_cpu_krylov(op, v, type), twin = make_tensor_krylov(op, v, type);
            const auto pairs = static_cast<size_t>(batch * columns);
            std::vector<int64_t> sizes(pairs);
            for (int64_t size : {4, 9}) {  // in two goes; one pair falls behind
              for (size_t p = 0; p < pairs; ++p) sizes[p] = p == 1 ? 5 : size;
              fast->grow(sizes);
              twin->grow(sizes);
            }
            std::vector<std::vector<double>> weights(pairs);
            // Rounding moves T itself further than f(T): 1e-3 of ‖A‖ = 10 is 1e3 times float32's.
            const double bound = type == at::kFloat ? 1e-4 : 1e-12;
            for (size_t p = 0; p < pairs; ++p) {
              const auto index = static_cast<int64_t>(p);
              const int64_t m = fast->size(index);
              ASSERT_EQ(m, twin->size(index));
              EXPECT_NEAR(fast->start_norm(index) / twin->start_norm(index), 1, bound);
              for (int64_t k = 0; k < m; ++k) {
                EXPECT_NEAR(fast->alpha(index)[k], twin->alpha(index)[k], 10 * bound);
                EXPECT_NEAR(fast->beta(index)[k], twin->beta(index)[k], 10 * bound);
                weights[p].push_back(1.0 / static_cast<double>(1 + k));
              }
            }
            at::Tensor x = at::zeros_like(v), y = at::zeros_like(v);
            fast->combine(weights, x);
            twin->combine(weights, y);
            EXPECT_LT(worst(x, y.to(at::kDouble)), 10 * bound);
          }
        }
      }
    }
  }
}

// Rows of very different difficulty, each with a step of its own: together as alone.
TEST(MatrixFunction, RowsDoNotDependOnTheirNeighbours) {
  torch::manual_seed(7);
  const SymmetricOperator op = concatenate({random_operator(Spectrum::kModel, 2, 120, 6, 1),
                                            random_operator(Spectrum::kLogSpaced, 2, 120, 6, 1e4),
                                            random_operator(Spectrum::kOutliers, 2, 120, 6, 100)});
  const at::Tensor epsilon = at::tensor({1e-3, 2.0, 0.1, 10.0, 0.01, 5.0}, kDoubles).unsqueeze(1);
  for (at::ScalarType type : {at::kFloat, at::kDouble}) {
    const auto typed =
        SymmetricOperator::from_low_rank(op.diagonal_part().to(type), op.factor().to(type));
    const at::Tensor v = at::randn({6, 120, 2}).to(type);
    const auto together = apply_functions(typed, ozaki(epsilon), v);
    EXPECT_LE(worst(together.values, oracle(typed, ozaki(epsilon), v)), 1e-6);
    for (int64_t b = 0; b < 6; ++b) {
      const auto alone =
          apply_functions(typed.slice(b, 1), ozaki(epsilon.narrow(0, b, 1)), v.narrow(0, b, 1));
      EXPECT_LE(worst(alone.values, together.values.narrow(0, b, 1).to(at::kDouble)),
                type == at::kFloat ? 3e-7 : 1e-13);
    }
  }
}

TEST(MatrixFunction, NotANumberStaysInItsRow) {
  torch::manual_seed(8);
  for (int64_t dim : {12, 100}) {  // eigh and Lanczos
    const SymmetricOperator op = random_operator(Spectrum::kModel, 3, dim, 4, 1);
    const at::Tensor v = at::randn({3, dim, 2}, kDoubles);
    const auto clean = apply_functions(op, ozaki(0.1), v);
    at::Tensor a = op.diagonal_part().clone();
    a[1][2] = std::nan("");
    const auto spoilt =
        apply_functions(SymmetricOperator::from_low_rank(a, op.factor()), ozaki(0.1), v);
    EXPECT_FALSE(spoilt.converged);
    EXPECT_TRUE(spoilt.values[1].isnan().all().item<bool>());
    for (int64_t b : {0, 2}) EXPECT_TRUE(at::allclose(spoilt.values[b], clean.values[b], 1e-12));
  }
}

TEST(MatrixFunction, ReportsWhatItDid) {
  torch::manual_seed(9);
  const SymmetricOperator op = random_operator(Spectrum::kModel, 2, 200, 6, 1);
  const at::Tensor v = at::randn({2, 200, 2}, kDoubles);
  const auto few = apply_functions(op, ozaki(2.0), v, {.tolerance = 1e-10, .max_steps = 8});
  EXPECT_FALSE(few.converged);
  EXPECT_EQ(few.steps, 8);
  EXPECT_GE(few.error, worst(few.values, oracle(op, ozaki(2.0), v)));
  const auto enough = apply_functions(op, ozaki(2.0), v);
  EXPECT_TRUE(enough.converged);
  EXPECT_GT(enough.steps, 8);
  const at::Tensor largest = std::get<0>(at::linalg_eigh(op.dense())).amax(-1);
  EXPECT_LT((enough.eigen_max - largest).abs().max().item<double>(), 1e-2);
  EXPECT_THROW(apply_functions(op, ozaki(1.0), v.narrow(2, 0, 1)), std::invalid_argument);
  EXPECT_THROW(apply_functions(op, ozaki(1.0), v.to(at::kFloat)), std::invalid_argument);
  EXPECT_THROW(apply_functions(op, ozaki(1.0), v, {.tolerance = 0}), std::domain_error);
}

}  // namespace
}  // namespace scorejet::linalg
