// Images of other sizes: padding and cropping by index, and a U-Net on any size its stride divides.
#include "src/score/padded_field.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "scorejet/score_model.h"
#include "src/nets/network.h"
#include "tests/scratch.h"

namespace scorejet {
namespace {

using linalg::Structure;
using linalg::SymmetricOperator;
using linalg::SymmetricTensor;
using testing::error_of;

// What the field inside saw, as a jet of a given structure whose every entry is its own.
class Recorder : public score::ScoreField {
 public:
  Recorder(int64_t dim, Structure structure) : dim_(dim), structure_(structure) {}
  int64_t dim() const override { return dim_; }
  int max_order() const override { return 3; }
  score::Jet evaluate(const at::Tensor& x, const at::Tensor&, int order) const override {
    seen = x.clone();
    const auto entries = [&](at::IntArrayRef shape) {
      return torch::arange(c10::multiply_integers(shape), x.options()).view(shape);
    };
    const int64_t b = x.size(0);
    score::Jet jet{2 * x};
    if (structure_ == Structure::kDense) {
      const at::Tensor m = entries({b, dim_, dim_});
      if (order >= 2) jet.s2 = SymmetricOperator::from_dense(m + m.transpose(1, 2));
      if (order >= 3) jet.s3 = SymmetricTensor::from_dense(entries({b, dim_, dim_, dim_}));
    } else if (structure_ == Structure::kDiagonal) {
      if (order >= 2) jet.s2 = SymmetricOperator::from_diagonal(entries({b, dim_}));
      if (order >= 3) jet.s3 = SymmetricTensor::from_diagonal(entries({b, dim_}));
    } else {
      if (order >= 2) {
        jet.s2 = SymmetricOperator::from_low_rank(entries({b, dim_}), entries({b, dim_, 2}).cos());
      }
      if (order >= 3) {
        jet.s3 = SymmetricTensor::from_low_rank(entries({b, dim_}), entries({b, 2}),
                                                entries({b, dim_, 2}).sin());
      }
    }
    return jet;
  }
  mutable at::Tensor seen;

 private:
  int64_t dim_;
  Structure structure_;
};

TEST(PaddedField, MirrorsWithoutRepeatingTheEdge) {
  const auto inner = std::make_shared<Recorder>(4 * 7, Structure::kDiagonal);
  const score::PaddedField field(inner, {1, 4, 7}, 2, 3);
  field.evaluate(torch::tensor({{0., 1., 2., 10., 11., 12.}}), 1.0, 1);
  const at::Tensor expected = torch::tensor({{0., 1., 2., 1., 0., 1., 2.},
                                             {10., 11., 12., 11., 10., 11., 12.},
                                             {0., 1., 2., 1., 0., 1., 2.},
                                             {10., 11., 12., 11., 10., 11., 12.}});
  EXPECT_TRUE(inner->seen.view({4, 7}).equal(expected)) << inner->seen.view({4, 7});
  const auto small = std::make_shared<Recorder>(2 * 4 * 4, Structure::kDiagonal);
  score::PaddedField(small, {2, 4, 4}, 1, 1).evaluate(torch::tensor({{3., 5.}}), 1.0, 1);
  EXPECT_TRUE(
      small->seen.view({2, 16}).eq(torch::tensor({3., 5.}).view({2, 1})).all().item<bool>());
}

// Against slicing of the dense jet by plain image indices.
TEST(PaddedField, NarrowsEveryOrderAndStructure) {
  torch::manual_seed(1);
  constexpr int64_t kC = 2, kTall = 4, kWide = 3, kH = 3, kW = 2;
  for (Structure structure : {Structure::kDense, Structure::kDiagonal, Structure::kLowRank}) {
    const auto inner = std::make_shared<Recorder>(kC * kTall * kWide, structure);
    const score::PaddedField field(inner, {kC, kTall, kWide}, kH, kW);
    ASSERT_EQ(field.dim(), kC * kH * kW);
    const at::Tensor x = torch::randn({2, field.dim()}, torch::kDouble);
    const score::Jet jet = field.evaluate(x, 1.0, 3);
    const score::Jet whole = inner->evaluate(inner->seen, torch::tensor(1.0), 3);
    const auto crop = [&](at::Tensor t, int64_t axes) {
      for (int64_t axis = 1; axis <= axes; ++axis) {
        const auto before = t.sizes().vec();
        auto unfolded = before;
        unfolded.erase(unfolded.begin() + axis);
        unfolded.insert(unfolded.begin() + axis, {kC, kTall, kWide});
        t = t.reshape(unfolded).narrow(axis + 1, 0, kH).narrow(axis + 2, 0, kW);
        auto folded = before;
        folded[static_cast<size_t>(axis)] = kC * kH * kW;
        t = t.reshape(folded);
      }
      return t;
    };
    EXPECT_TRUE(jet.s1.equal(2 * x));
    EXPECT_TRUE(jet.s2->structure() == structure);
    EXPECT_TRUE(torch::allclose(jet.s2->dense(), crop(whole.s2->dense(), 2)));
    EXPECT_TRUE(torch::allclose(jet.s3->dense(), crop(whole.s3->dense(), 3)));
  }
}

TEST(PaddedField, NothingIsDoneToImagesOfTheRightSize) {
  const auto inner = std::make_shared<Recorder>(12, Structure::kLowRank);
  const score::PaddedField field(inner, {1, 3, 4}, 3, 4);
  const at::Tensor x = torch::randn({2, 12});
  const score::Jet jet = field.evaluate(x, 1.0, 2), own = inner->evaluate(x, torch::tensor(1.0), 2);
  EXPECT_TRUE(jet.s1.equal(own.s1));
  EXPECT_TRUE(jet.s2->factor().equal(own.s2->factor()));
  EXPECT_NE(error_of([&] {
              score::PaddedField(inner, {1, 3, 4}, 4, 4);
            }).find("3 x 4; got 4 x 4"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              score::PaddedField(inner, {1, 3, 5}, 3, 4);
            }).find("D = 12"),
            std::string::npos);
}

models::ScoreModelOptions unet(int64_t channels, int64_t height, int64_t width) {
  models::ScoreModelOptions options;
  options.network.dim = channels * height * width;
  options.network.image_shape = {channels, height, width};
  options.network.rank = 3;
  options.network.unet.channels = 8;
  return options;
}

models::ScoreModel make_model(const models::ScoreModelOptions& options) {
  const int64_t channels = options.network.image_shape[0], dim = options.network.dim;
  const auto spread = [&](double first) {
    return (first + 0.1 * torch::arange(channels)).repeat_interleave(dim / channels);
  };
  models::ScoreModel model(options, spread(0.3), spread(0.05));
  torch::NoGradGuard no_grad;
  for (at::Tensor& p : model.network().parameters()) p.normal_(0, 0.1);
  return model;
}

void expect_equal(const score::Jet& a, const score::Jet& b) {
  EXPECT_TRUE(a.s1.equal(b.s1));
  EXPECT_TRUE(a.s2->diagonal_part().equal(b.s2->diagonal_part()));
  EXPECT_TRUE(a.s2->factor().equal(b.s2->factor()));
}

TEST(Resized, OwnSizeIsTheModelItself) {
  torch::manual_seed(2);
  torch::NoGradGuard no_grad;
  models::ScoreModelOptions options = unet(3, 8, 12);
  options.network.s3 = nets::Structure::kLowRank;
  const models::ScoreModel model = make_model(options), same = model.resized(8, 12);
  const at::Tensor x = torch::rand({2, 3 * 8 * 12});
  expect_equal(same.evaluate(x, 0.3, 2), model.evaluate(x, 0.3, 2));
  EXPECT_EQ(same.max_order(), 3);
  EXPECT_TRUE(same.evaluate(x, 0.3, 3).s3->factor().equal(model.evaluate(x, 0.3, 3).s3->factor()));
  // The third order's low rank is of the whole picture; there and back again it is left out.
  const models::ScoreModel back = model.resized(16, 4).resized(8, 12);
  expect_equal(back.evaluate(x, 0.3, 2), model.evaluate(x, 0.3, 2));
  EXPECT_EQ(back.max_order(), 2);
  // Shared: training the one moves the other.
  model.network().parameters()[0].mul_(1.5);
  expect_equal(same.evaluate(x, 0.3, 2), model.evaluate(x, 0.3, 2));
}

// A large picture's scores, far from its borders, move with the picture by multiples of the stride
// (and not by other shifts), and are those of the trained size where that sees no border either. A
// factor knows its place, mirrored beyond the trained size: it moves by twice that.
TEST(Resized, ScoresMoveWithThePicture) {
  torch::manual_seed(3);
  torch::NoGradGuard no_grad;
  const at::Tensor wide = torch::rand({1, 1, 64, 128});
  const auto middle = [](const at::Tensor& t, int64_t width, int64_t from) {
    return t.reshape({-1, 64, width}).narrow(1, 28, 8).narrow(2, from, 8);
  };
  const auto same = [&](const at::Tensor& a, const at::Tensor& b) {
    return torch::allclose(a, b, 1e-4, 1e-5);
  };
  const auto at_shift = [&](const models::ScoreModel& model, int64_t shift) {
    return model.evaluate(wide.narrow(3, shift, 96).reshape({1, -1}), 0.4, 2);
  };
  {
    const models::ScoreModel model = make_model(unet(1, 64, 64)), large = model.resized(64, 96);
    const score::Jet still = at_shift(large, 0), moved = at_shift(large, 4);
    const at::Tensor a = still.s2->diagonal_part(), b = still.s2->diagonal();
    EXPECT_TRUE(same(middle(still.s1, 96, 44), middle(moved.s1, 96, 40)));
    EXPECT_TRUE(same(middle(a, 96, 44), middle(moved.s2->diagonal_part(), 96, 40)));
    EXPECT_FALSE(same(middle(b, 96, 44), middle(moved.s2->diagonal(), 96, 40)));
    EXPECT_FALSE(same(middle(still.s1, 96, 44), middle(at_shift(large, 1).s1, 96, 43)));
    const score::Jet own = model.evaluate(wide.narrow(3, 0, 64).reshape({1, -1}), 0.4, 2);
    EXPECT_TRUE(same(middle(still.s1, 96, 28), middle(own.s1, 64, 28)));
    EXPECT_TRUE(same(middle(b, 96, 28), middle(own.s2->diagonal(), 64, 28)));
  }
  const models::ScoreModel large = make_model(unet(1, 64, 16)).resized(64, 96);
  EXPECT_TRUE(same(middle(at_shift(large, 0).s2->diagonal(), 96, 60),
                   middle(at_shift(large, 32).s2->diagonal(), 96, 28)));
}

TEST(Resized, AnyPictureThroughPadding) {
  torch::manual_seed(4);
  torch::NoGradGuard no_grad;
  const models::ScoreModel model = make_model(unet(3, 8, 8));
  for (auto [height, width] :
       {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {33, 50}, {1, 9}, {8, 8}, {12, 4}}) {
    const auto field = models::field_of_size(model, height, width);
    const score::Jet jet = field->evaluate(torch::rand({2, 3 * height * width}), 0.3, 2);
    EXPECT_EQ(jet.s1.sizes(), (at::IntArrayRef{2, 3 * height * width}));
    EXPECT_EQ(jet.s2->factor().sizes(), (at::IntArrayRef{2, 3 * height * width, 3}));
    EXPECT_TRUE(torch::isfinite(jet.s1).all().item<bool>());
  }
}

TEST(Resized, RefusesWhatCannotBe) {
  const models::ScoreModel model = make_model(unet(1, 8, 8));
  EXPECT_NE(error_of([&] { model.resized(8, 10); }).find("multiples of 4; got 8 x 10"),
            std::string::npos);
  models::ScoreModelOptions options = unet(1, 8, 8);
  options.network.kind = "mlp";
  EXPECT_NE(error_of([&] { make_model(options).resized(8, 8); }).find("convolutional"),
            std::string::npos);
  EXPECT_NE(
      error_of([&] { models::field_of_size(make_model(options), 8, 9); }).find("convolutional"),
      std::string::npos);
  EXPECT_EQ(models::field_of_size(make_model(options), 8, 8)->dim(), 64);
  at::Tensor mean = torch::full({64}, 0.5);
  mean[3] = 0.6;
  const models::ScoreModel uneven(unet(1, 8, 8), mean, torch::ones({64}));
  EXPECT_NE(error_of([&] { uneven.resized(8, 12); }).find("every pixel of a channel"),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet
