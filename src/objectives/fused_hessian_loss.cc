#include "src/objectives/fused_hessian_loss.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <algorithm>

#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/objectives/hessian_sample.h"

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// B as the loops read it: neighbours in one of its two directions.
at::Tensor readable(const at::Tensor& factor) {
  return factor.stride(1) == 1 || factor.stride(2) == 1 ? factor : factor.contiguous();
}

// What the loops read. An item is one evaluation of one sample; a sample's are neighbours, so that
// every thread has as many of each kind.
class Items {
 public:
  Items(Form form, const at::Tensor& diagonal, const at::Tensor& factor, const at::Tensor& s1,
        const at::Tensor& z, const at::Tensor& sigma, const at::Tensor& coefficient)
      : form_(form),
        diagonal_(diagonal.contiguous()),
        factor_(readable(factor)),
        s1_(s1.contiguous()),
        z_(z.contiguous()),
        sigma_(sigma.contiguous()),
        coefficient_(coefficient.contiguous()),
        points_(s1.size(0) / z.size(0)) {}

  int64_t samples() const { return z_.size(0); }
  int64_t points() const { return points_; }
  int64_t dim() const { return z_.size(1); }
  int64_t rank() const { return factor_.size(2); }
  // Of an evaluation in its sample's loss.
  float weight(int64_t item) const {
    if (points_ == 1) return 1;
    return item % points_ == 2 ? coefficient_.data_ptr<float>()[item / points_] : 0.5F;
  }

  HessianTerm term(int64_t item) const {
    const bool clean = item % points_ == 2;
    if (form_ == Form::kProduct) return clean ? HessianTerm::kProductClean : HessianTerm::kProduct;
    return clean ? HessianTerm::kCentredClean : HessianTerm::kCentred;
  }
  HessianPoint point(int64_t item) const {
    const int64_t at = row(item), sample = item / points_;
    HessianPoint p;
    p.term = term(item);
    p.diagonal = diagonal_.data_ptr<float>() + at * dim();
    p.factor = factor_.data_ptr<float>() + at * factor_.stride(0);
    p.along = factor_.stride(1);
    p.across = factor_.stride(2);
    p.s1 = s1_.data_ptr<float>() + at * dim();
    p.z = z_.data_ptr<float>() + sample * dim();
    p.sigma = sigma_.data_ptr<float>()[sample];
    p.sign = item % points_ == 1 ? -1.0F : 1.0F;
    return p;
  }

  // The gradients in a and B, that of B laid out as B is; body(sample, item, a's, B's) fills an
  // item's.
  template <typename F>
  variable_list gradients(const F& body) const {
    const int64_t n = factor_.size(0);
    const at::Tensor in_diagonal = at::empty({n, dim()}, at::kFloat);
    const at::Tensor in_factor = factor_.stride(1) == 1
                                     ? at::empty({n, rank(), dim()}, at::kFloat).transpose(1, 2)
                                     : at::empty({n, dim(), rank()}, at::kFloat);
    for_each([&](HessianSample& sample, int64_t item) {
      body(sample, item, in_diagonal.data_ptr<float>() + row(item) * dim(),
           in_factor.data_ptr<float>() + row(item) * dim() * rank());
    });
    return {in_diagonal, in_factor};
  }

  // body(sample, item) for every item, on all threads.
  template <typename F>
  void for_each(const F& body) const {
    const int64_t grain = 1 + (1 << 16) / (dim() * (rank() + 8));
    base::parallel_for(samples() * points_, grain, [&](int64_t begin, int64_t end) {
      HessianSample sample(dim(), rank());
      for (int64_t item = begin; item < end; ++item) body(sample, item);
    });
  }

  // Where each item's coefficients begin, and how many there are.
  std::vector<int64_t> coefficient_offsets() const {
    const HessianSample sample(dim(), rank());
    std::vector<int64_t> offsets{0};
    for (int64_t item = 0; item < samples() * points_; ++item) {
      offsets.push_back(offsets.back() + sample.coefficient_count(term(item)));
    }
    return offsets;
  }

 private:
  // Of the batch: the samples' first points, then their second, then their third.
  int64_t row(int64_t item) const { return item % points_ * samples() + item / points_; }

  Form form_;
  at::Tensor diagonal_, factor_, s1_, z_, sigma_, coefficient_;
  int64_t points_;
};

// The losses [B]; `coefficients` is what the gradient needs, or undefined where none will be asked
// for.
at::Tensor losses(const Items& items, const at::Tensor& coefficients) {
  std::vector<int64_t> offsets;
  if (coefficients.defined()) offsets = items.coefficient_offsets();
  std::vector<double> values(static_cast<size_t>(items.samples() * items.points()));
  items.for_each([&](HessianSample& sample, int64_t item) {
    const auto i = static_cast<size_t>(item);
    if (items.weight(item) == 0) return;
    float* kept = offsets.empty() ? nullptr : coefficients.data_ptr<float>() + offsets[i];
    values[i] = static_cast<double>(items.weight(item)) * sample.evaluate(items.point(item), kept);
  });
  at::Tensor result = at::empty({items.samples()}, at::kFloat);
  for (int64_t b = 0; b < items.samples(); ++b) {
    double sum = 0;
    for (int64_t t = 0; t < items.points(); ++t) {
      sum += values[static_cast<size_t>(b * items.points() + t)];
    }
    result.data_ptr<float>()[b] = static_cast<float>(sum);
  }
  return result;
}

at::Tensor plain(Form form, const at::Tensor& diagonal, const at::Tensor& factor,
                 const at::Tensor& s1, const at::Tensor& z, const at::Tensor& sigma,
                 const at::Tensor& coefficient) {
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(diagonal, factor);
  return s1.size(0) == z.size(0)
             ? hessian_loss_plain(form, s1, s2, z, sigma)
             : hessian_loss_antithetic_plain(form, s1, s2, z, sigma, coefficient);
}

struct FusedHessianLoss : torch::autograd::Function<FusedHessianLoss> {
  static at::Tensor forward(AutogradContext* context, int64_t form, const at::Tensor& diagonal,
                            const at::Tensor& factor, const at::Tensor& s1, const at::Tensor& z,
                            const at::Tensor& sigma, const at::Tensor& coefficient) {
    const Items items(static_cast<Form>(form), diagonal, factor, s1, z, sigma, coefficient);
    const at::Tensor coefficients = at::empty({items.coefficient_offsets().back()}, at::kFloat);
    const at::Tensor result = losses(items, coefficients);
    context->save_for_backward({diagonal, factor, s1, z, sigma, coefficient, coefficients});
    context->saved_data["form"] = form;
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const auto form = static_cast<Form>(context->saved_data["form"].toInt());
    const at::Tensor &diagonal = saved[0], &factor = saved[1], &s1 = saved[2], &z = saved[3];
    const at::Tensor &sigma = saved[4], &coefficient = saved[5];
    const variable_list computed =
        at::GradMode::is_enabled()
            ? torch::autograd::grad({plain(form, diagonal, factor, s1, z, sigma, coefficient)},
                                    {diagonal, factor}, {outputs[0]}, true, true, true)
            : differentiate(Items(form, diagonal, factor, s1, z, sigma, coefficient), saved[6],
                            outputs[0]);
    return {{}, computed[0], computed[1], {}, {}, {}, {}};  // one an argument
  }

  static variable_list differentiate(const Items& items, const at::Tensor& coefficients,
                                     const at::Tensor& output) {
    const std::vector<int64_t> offsets = items.coefficient_offsets();
    const at::Tensor scale = output.contiguous();
    return items.gradients([&](HessianSample& sample, int64_t item, float* diagonal,
                               float* factor) {
      if (items.weight(item) == 0) {
        std::fill_n(diagonal, items.dim(), 0.0F);
        std::fill_n(factor, items.dim() * items.rank(), 0.0F);
        return;
      }
      sample.differentiate(
          items.point(item), coefficients.data_ptr<float>() + offsets[static_cast<size_t>(item)],
          items.weight(item) * scale.data_ptr<float>()[item / items.points()], diagonal, factor);
    });
  }
};

}  // namespace

bool can_fuse_hessian_loss(Form form, const at::Tensor& s1, const SymmetricOperator& s2,
                           const at::Tensor& z, const at::Tensor& sigma) {
  const auto usable = [](const at::Tensor& x) {
    return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.layout() == at::kStrided;
  };
  const auto constant = [](const at::Tensor& x) {
    return !at::GradMode::is_enabled() || !x.requires_grad();
  };
  if (form == Form::kSketch || z.dim() != 2 || z.numel() == 0 || !usable(z) || !usable(sigma) ||
      !constant(z) || !constant(sigma) || sigma.sizes() != at::IntArrayRef{z.size(0)} ||
      !base::fast(base::FastPath::kHessianLoss)) {
    return false;
  }
  return s2.structure() == linalg::Structure::kLowRank && s2.rank() >= 1 && s2.dim() == z.size(1) &&
         usable(s1) && usable(s2.diagonal_part()) && usable(s2.factor()) && s1.dim() == 2 &&
         s1.size(0) == s2.batch() && s1.size(1) == z.size(1) &&
         (s1.size(0) == z.size(0) || s1.size(0) == 3 * z.size(0));
}

at::Tensor fused_hessian_loss(Form form, const at::Tensor& s1, const SymmetricOperator& s2,
                              const at::Tensor& z, const at::Tensor& sigma,
                              const at::Tensor& given) {
  const at::Tensor coefficient = given.defined() ? given.detach() : at::ones_like(sigma);
  const at::Tensor &diagonal = s2.diagonal_part(), &factor = s2.factor(), held = s1.detach();
  const bool differentiable =
      at::GradMode::is_enabled() && (diagonal.requires_grad() || factor.requires_grad());
  if (!differentiable) {
    return losses(Items(form, diagonal, factor, held, z, sigma, coefficient), {});
  }
  return FusedHessianLoss::apply(static_cast<int64_t>(form), diagonal, factor, held, z, sigma,
                                 coefficient);
}

}  // namespace scorejet::objectives
