// Inverses and log-determinants against dense float64 ones, ill-conditioned operators included.
#include "src/linalg/factorisation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <string>

namespace scorejet::linalg {
namespace {

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

std::string message(const SymmetricOperator& op) {
  try {
    Factorisation{op};
  } catch (const std::domain_error& error) {
    return error.what();
  }
  return "";
}

TEST(Factorisation, EqualsDenseInverse) {
  torch::manual_seed(61);
  const at::Tensor d = 0.1 + at::rand({4, 9}, at::kDouble);
  const at::Tensor factor = at::randn({4, 9, 3}, at::kDouble);
  const at::Tensor v = at::randn({4, 9}, at::kDouble), block = at::randn({4, 9, 2}, at::kDouble);
  const auto low = SymmetricOperator::from_low_rank(d, factor);
  for (const SymmetricOperator& op :
       {low, SymmetricOperator::from_low_rank(d, factor.narrow(2, 0, 1)),
        SymmetricOperator::from_low_rank(d, at::randn({4, 9, 12}, at::kDouble)),  // r > D
        SymmetricOperator::from_diagonal(d), SymmetricOperator::from_dense(low.dense())}) {
    const Factorisation factorisation(op);
    const at::Tensor inverse = at::linalg_inv(op.dense());
    const at::Tensor solved = inverse.matmul(v.unsqueeze(-1)).squeeze(-1);
    EXPECT_LT(relative_error(factorisation.solve(v), solved), 1e-12);
    EXPECT_LT(relative_error(factorisation.solve(block), inverse.matmul(block)), 1e-12);
    EXPECT_LT(relative_error(factorisation.quadratic(v), (v * solved).sum(-1)), 1e-12);
    EXPECT_LT(relative_error(factorisation.log_determinant(), at::logdet(op.dense())), 1e-12);
  }
}

// d = δ against a largest variance of about one: an orthonormal factor has a known inverse.
TEST(Factorisation, KeepsItsDigitsWhereTheDiagonalIsSmall) {
  torch::manual_seed(62);
  const at::Tensor q = std::get<0>(at::linalg_qr(at::randn({1, 200, 8}, at::kDouble)));
  const at::Tensor inside = q.matmul(at::randn({1, 8, 1}, at::kDouble)).squeeze(-1);
  const at::Tensor noise = at::randn({1, 200}, at::kDouble);
  const at::Tensor outside =
      noise - q.matmul(q.transpose(1, 2).matmul(noise.unsqueeze(-1))).squeeze(-1);
  for (double delta : {1e-5, 1e-10}) {
    const Factorisation factorisation(
        SymmetricOperator::from_low_rank(at::full({1, 200}, delta, at::kDouble), q));
    EXPECT_LT(
        relative_error(factorisation.quadratic(inside), inside.square().sum(-1) / (1 + delta)),
        1e-10);
    EXPECT_LT(relative_error(factorisation.quadratic(outside), outside.square().sum(-1) / delta),
              1e-10);
    EXPECT_LT(relative_error(factorisation.solve(inside), inside / (1 + delta)), 1e-15 / delta);
    const double exact = 8 * std::log1p(delta) + 192 * std::log(delta);
    EXPECT_NEAR(factorisation.log_determinant().item<double>(), exact, 1e-11 * std::abs(exact));
  }
}

TEST(Factorisation, WorksInFloat64ForFloat32) {
  torch::manual_seed(63);
  const auto op = SymmetricOperator::from_low_rank(1e-4 + at::rand({2, 300}) * 1e-4,
                                                   0.3 * at::randn({2, 300, 5}));
  const Factorisation factorisation(op);
  EXPECT_EQ(factorisation.solve(at::randn({2, 300})).scalar_type(), at::kFloat);
  const at::Tensor exact =
      at::logdet(SymmetricOperator::from_low_rank(op.diagonal_part().to(at::kDouble),
                                                  op.factor().to(at::kDouble))
                     .dense());
  EXPECT_LT(relative_error(factorisation.log_determinant(), exact), 1e-12);
}

TEST(Factorisation, RefusesWhatIsNotPositiveDefiniteNamingTheRow) {
  at::Tensor d = at::ones({3, 4});
  d[1][2] = -0.5;
  EXPECT_EQ(message(SymmetricOperator::from_diagonal(d)),
            "[linalg::Factorisation] diagonal part must be positive; got -0.5 at row 1");
  EXPECT_NE(message(SymmetricOperator::from_low_rank(d, at::ones({3, 4, 1}))).find("row 1"),
            std::string::npos);
  EXPECT_EQ(message(SymmetricOperator::from_dense(at::diag_embed(d))),
            "[linalg::Factorisation] operator must be positive definite; got one that is not at "
            "row 1");
  d[1][2] = 1;
  d[2][0] = NAN;
  EXPECT_EQ(message(SymmetricOperator::from_dense(at::diag_embed(d))),
            "[linalg::Factorisation] operator must be finite; got NaN or infinity at row 2");
  const Factorisation factorisation(SymmetricOperator::from_diagonal(at::ones({3, 4})));
  EXPECT_THROW(factorisation.solve(at::ones({3, 5})), std::invalid_argument);
  EXPECT_THROW(factorisation.quadratic(at::ones({2, 4})), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::linalg
