// The fused order-2 losses against the plain tensor form in float64: values and gradients, over
// shapes, memory layouts and thread counts.
#include "src/objectives/fused_hessian_loss.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;

enum class Layout { kCoordinates, kColumns, kNeither };

struct Case {
  int64_t batch, dim, rank;
  Layout layout = Layout::kCoordinates;
};

// s1, a and B of `points` batches stacked, z and sigma of one; float32, with a size of B and a
// smallest sigma that make every term count.
struct FusedProblem {
  at::Tensor s1, a, b, z, sigma;
};

FusedProblem make_fused_problem(const Case& c, int64_t points, uint64_t seed) {
  torch::manual_seed(seed);
  const int64_t n = points * c.batch;
  FusedProblem p;
  p.s1 = at::randn({n, c.dim});
  p.a = -0.5 - at::rand({n, c.dim});
  const double size = 1.2 / std::sqrt(static_cast<double>(c.dim));
  switch (c.layout) {
    case Layout::kCoordinates:
      p.b = size * at::randn({n, c.dim, c.rank});
      break;
    case Layout::kColumns:
      p.b = (size * at::randn({n, c.rank, c.dim})).transpose(1, 2);
      break;
    case Layout::kNeither:
      p.b = (size * at::randn({n, 2 * c.dim, 2 * c.rank}))
                .slice(1, 0, 2 * c.dim, 2)
                .slice(2, 0, 2 * c.rank, 2);
      break;
  }
  p.z = at::randn({c.batch, c.dim});
  p.sigma = 0.4 + at::rand({c.batch});
  return p;
}

FusedProblem to_double(const FusedProblem& p) {
  return {p.s1.to(at::kDouble), p.a.to(at::kDouble), p.b.to(at::kDouble), p.z.to(at::kDouble),
          p.sigma.to(at::kDouble)};
}

struct Outcome {
  at::Tensor loss, a, b;  // the loss and its gradients
};

// Through a following op, so that every sample's loss has another weight.
template <typename F>
Outcome differentiate(const F& loss_of, FusedProblem p) {
  p.a = p.a.detach().requires_grad_();
  p.b = p.b.detach().requires_grad_();
  const at::Tensor loss = loss_of(p);
  const at::Tensor weight = at::arange(1, loss.size(0) + 1, loss.options()) * 0.3;
  torch::autograd::backward({(loss * weight).sum()});
  return {loss.detach(), p.a.grad(), p.b.grad()};
}

// Within 1e-5 of the largest magnitude.
void expect_near(const at::Tensor& value, const at::Tensor& expected, const std::string& what) {
  ASSERT_EQ(value.sizes(), expected.sizes()) << what;
  const double error = (value.to(at::kDouble) - expected).abs().max().item<double>();
  EXPECT_LE(error, 1e-5 * expected.abs().max().item<double>()) << what;
}

at::Tensor fused_loss(Form form, const FusedProblem& p, int64_t points) {
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(p.a, p.b);
  EXPECT_TRUE(can_fuse_hessian_loss(form, p.s1, s2, p.z, p.sigma));
  return points == 1 ? hessian_loss(form, p.s1, s2, p.z, p.sigma)
                     : hessian_loss_antithetic(form, p.s1, s2, p.z, p.sigma);
}

at::Tensor plain_loss(Form form, const FusedProblem& p, int64_t points) {
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(p.a, p.b);
  return points == 1 ? hessian_loss_plain(form, p.s1, s2, p.z, p.sigma)
                     : hessian_loss_antithetic_plain(form, p.s1, s2, p.z, p.sigma);
}

// Every remainder of the tiles (3 rows, 4 columns, registers, blocks) and of the blocks of large D.
std::vector<Case> cases() {
  std::vector<Case> result{{1, 1, 1},    {1, 5, 5},     {2, 6, 2},     {1, 784, 50}, {3, 47, 3},
                           {3, 48, 4},   {2, 49, 7},    {2, 96, 8},    {5, 97, 9},   {2, 143, 10},
                           {2, 240, 11}, {2, 1007, 13}, {1, 1009, 22}, {1, 2500, 6}, {2, 400, 201}};
  for (const Layout layout : {Layout::kColumns, Layout::kNeither}) {
    for (const Case& c : {Case{1, 1, 1}, Case{3, 30, 1}, Case{2, 101, 6}, Case{2, 1013, 51}}) {
      result.push_back({c.batch, c.dim, c.rank, layout});
    }
  }
  return result;
}

TEST(FusedHessianLoss, EqualsThePlainFormInFloat64) {
  for (const Case& c : cases()) {
    for (const Form form : {Form::kProduct, Form::kCentred}) {
      for (const int64_t points : {1, 3}) {
        const FusedProblem p = make_fused_problem(c, points, static_cast<uint64_t>(c.dim + c.rank));
        const auto fused = [&](const FusedProblem& q) { return fused_loss(form, q, points); };
        const Outcome exact = differentiate(
            [&](const FusedProblem& q) { return plain_loss(form, q, points); }, to_double(p));
        const Outcome found = differentiate(fused, p);
        const std::string what =
            fmt::format("{}, {} points, B = {}, D = {}, r = {}, layout {}", form_name(form), points,
                        c.batch, c.dim, c.rank, static_cast<int>(c.layout));
        expect_near(found.loss, exact.loss, what + ": loss");
        expect_near(found.a, exact.a, what + ": gradient in a");
        expect_near(found.b, exact.b, what + ": gradient in B");
        const at::NoGradGuard no_grad;
        EXPECT_TRUE(fused(p).equal(found.loss)) << what << ": without gradient";
      }
    }
  }
}

// The budget above is not vacuous: a term left out, here the diagonal's share, exceeds it.
TEST(FusedHessianLoss, ToleranceSeesASmallTerm) {
  const FusedProblem p = to_double(make_fused_problem({2, 97, 9}, 1, 3));
  FusedProblem other = p;
  other.a = p.a + 1e-4;
  const at::Tensor exact = plain_loss(Form::kCentred, p, 1);
  const at::Tensor change = (plain_loss(Form::kCentred, other, 1) - exact).abs().max();
  EXPECT_GT(change.item<double>(), 1e-5 * exact.abs().max().item<double>());
}

// Of 1 the control variate's coefficient changes no bit; of 0 no clean point, however bad, is seen.
TEST(FusedHessianLoss, TakesTheControlVariatesCoefficient) {
  for (const Form form : {Form::kProduct, Form::kCentred}) {
    const FusedProblem p = make_fused_problem({3, 61, 5}, 3, 11);
    const auto run = [&](const FusedProblem& q, bool plain, const at::Tensor& c) {
      return differentiate(
          [&](const FusedProblem& of) {
            const auto s2 = SymmetricOperator::from_low_rank(of.a, of.b);
            const at::Tensor own = c.defined() ? c.to(of.z.scalar_type()) : c;
            return plain ? hessian_loss_antithetic_plain(form, of.s1, s2, of.z, of.sigma, own)
                         : hessian_loss_antithetic(form, of.s1, s2, of.z, of.sigma, own);
          },
          q);
    };
    for (const bool plain : {false, true}) {
      const Outcome without = run(p, plain, {}), one = run(p, plain, at::ones({3}));
      EXPECT_TRUE(without.loss.equal(one.loss)) << form_name(form);
      EXPECT_TRUE(without.a.equal(one.a)) << form_name(form);
      EXPECT_TRUE(without.b.equal(one.b)) << form_name(form);
    }
    const at::Tensor c = at::tensor({0.0F, 0.3F, 1.0F});
    const Outcome exact = run(to_double(p), true, c), found = run(p, false, c);
    expect_near(found.loss, exact.loss, "loss");
    expect_near(found.a, exact.a, "gradient in a");
    expect_near(found.b, exact.b, "gradient in B");
    EXPECT_FALSE(run(p, false, {}).loss.equal(found.loss)) << "control";
    EXPECT_EQ(found.b[6].abs().max().item<float>(), 0) << "the clean point of coefficient 0";
    EXPECT_GT(found.b[7].abs().max().item<float>(), 0);
  }
}

TEST(FusedHessianLoss, SameBitsForAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  for (const Form form : {Form::kProduct, Form::kCentred}) {
    const FusedProblem p = make_fused_problem({7, 500, 20, Layout::kColumns}, 3, 12);
    const auto with_threads = [&](int threads) {
      at::set_num_threads(threads);
      return differentiate([&](const FusedProblem& q) { return fused_loss(form, q, 3); }, p);
    };
    const Outcome one = with_threads(1), two = with_threads(2);
    EXPECT_TRUE(one.loss.equal(two.loss)) << form_name(form);
    EXPECT_TRUE(one.a.equal(two.a)) << form_name(form);
    EXPECT_TRUE(one.b.equal(two.b)) << form_name(form);
  }
  at::set_num_threads(before);
}

// A gradient of the gradient: the backward pass goes through the plain form.
TEST(FusedHessianLoss, SecondDerivativeEqualsThePlainForms) {
  for (const Form form : {Form::kProduct, Form::kCentred}) {
    for (const int64_t points : {1, 3}) {
      const auto second = [&](FusedProblem p, bool fused) {
        p.a = p.a.requires_grad_();
        p.b = p.b.requires_grad_();
        const at::Tensor loss =
            (fused ? fused_loss(form, p, points) : plain_loss(form, p, points)).square().sum();
        const auto first = torch::autograd::grad({loss}, {p.a, p.b}, {}, true, true);
        torch::autograd::backward({first[0].square().sum() + first[1].sin().sum()});
        return std::vector<at::Tensor>{p.a.grad(), p.b.grad()};
      };
      const FusedProblem p = make_fused_problem({2, 13, 3}, points, 13);
      const auto exact = second(to_double(p), false), found = second(p, true);
      for (size_t i = 0; i < 2; ++i) {
        ASSERT_GT(exact[i].abs().max().item<double>(), 0);
        const double error = (found[i].to(at::kDouble) - exact[i]).abs().max().item<double>();
        EXPECT_LE(error, 1e-4 * exact[i].abs().max().item<double>());
      }
    }
  }
}

TEST(FusedHessianLoss, LeavesTheRestToThePlainForm) {
  const FusedProblem p = make_fused_problem({2, 8, 3}, 1, 14);
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(p.a, p.b);
  const auto can = [&](Form form, const at::Tensor& s1, const SymmetricOperator& op,
                       const at::Tensor& z, const at::Tensor& sigma) {
    return can_fuse_hessian_loss(form, s1, op, z, sigma);
  };
  EXPECT_TRUE(can(Form::kCentred, p.s1, s2, p.z, p.sigma));
  EXPECT_FALSE(can(Form::kSketch, p.s1, s2, p.z, p.sigma));
  EXPECT_FALSE(can(Form::kCentred, p.s1, s2, p.z, p.sigma.to(at::kDouble)));
  EXPECT_FALSE(can(Form::kCentred, p.s1, s2, p.z.clone().requires_grad_(), p.sigma));
  EXPECT_FALSE(can(Form::kCentred, p.s1, SymmetricOperator::from_diagonal(p.a), p.z, p.sigma));
  const auto none = SymmetricOperator::from_low_rank(p.a, p.b.narrow(2, 0, 0));
  EXPECT_FALSE(can(Form::kCentred, p.s1, none, p.z, p.sigma));
  const at::Tensor of_none = hessian_loss(Form::kCentred, p.s1, none, p.z, p.sigma);
  EXPECT_TRUE(of_none.allclose(
      hessian_loss(Form::kCentred, p.s1,
                   SymmetricOperator::from_low_rank(p.a, at::zeros({2, 8, 1})), p.z, p.sigma)));
  // Shapes that do not fit are refused as before.
  EXPECT_THROW(hessian_loss(Form::kCentred, p.s1, s2, p.z.narrow(0, 0, 1), p.sigma),
               std::invalid_argument);
  EXPECT_THROW(hessian_loss(Form::kCentred, p.s1, s2.slice(0, 1), p.z, p.sigma),
               std::invalid_argument);
  EXPECT_THROW(hessian_loss_antithetic(Form::kCentred, p.s1, s2, p.z, p.sigma),
               std::invalid_argument);
  const FusedProblem three = make_fused_problem({2, 8, 3}, 3, 15);
  EXPECT_THROW(hessian_loss(Form::kCentred, three.s1,
                            SymmetricOperator::from_low_rank(three.a, three.b), p.z, p.sigma),
               std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::objectives
