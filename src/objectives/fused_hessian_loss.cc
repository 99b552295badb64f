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
  // parts: a and B in turn.
  Items(Form form, at::TensorList parts, at::TensorList s1, const at::Tensor& z,
        const at::Tensor& sigma, const at::Tensor& coefficient)
      : form_(form),
        z_(z.contiguous()),
        sigma_(sigma.contiguous()),
        coefficient_(coefficient.contiguous()) {
    int64_t rows = 0;
    for (size_t i = 0; i < s1.size(); ++i) {
      diagonal_.push_back(parts[2 * i].contiguous());
      factor_.push_back(readable(parts[2 * i + 1]));
      s1_.push_back(s1[i].contiguous());
      rows += s1[i].size(0);
    }
    points_ = rows / samples();
  }

  int64_t samples() const { return z_.size(0); }
  int64_t points() const { return points_; }
  int64_t dim() const { return z_.size(1); }
  int64_t rank() const { return factor_[0].size(2); }
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
    const size_t i = part(item);
    const int64_t at = row(item), sample = item / points_;
    HessianPoint p;
    p.term = term(item);
    p.diagonal = diagonal_[i].data_ptr<float>() + at * dim();
    p.factor = factor_[i].data_ptr<float>() + at * factor_[i].stride(0);
    p.along = factor_[i].stride(1);
    p.across = factor_[i].stride(2);
    p.s1 = s1_[i].data_ptr<float>() + at * dim();
    p.z = z_.data_ptr<float>() + sample * dim();
    p.sigma = sigma_.data_ptr<float>()[sample];
    p.sign = item % points_ == 1 ? -1.0F : 1.0F;
    return p;
  }

  // The parts' gradients, those of B laid out as B is; body(sample, item, a's, B's) fills an
  // item's.
  template <typename F>
  variable_list gradients(const F& body) const {
    variable_list result;
    for (const at::Tensor& factor : factor_) {
      const int64_t n = factor.size(0);
      result.push_back(at::empty({n, dim()}, at::kFloat));
      result.push_back(factor.stride(1) == 1
                           ? at::empty({n, rank(), dim()}, at::kFloat).transpose(1, 2)
                           : at::empty({n, dim(), rank()}, at::kFloat));
    }
    for_each([&](HessianSample& sample, int64_t item) {
      const size_t i = part(item);
      body(sample, item, result[2 * i].data_ptr<float>() + row(item) * dim(),
           result[2 * i + 1].data_ptr<float>() + row(item) * dim() * rank());
    });
    return result;
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
  // Which of the parts an item is in, and where.
  size_t part(int64_t item) const {
    return factor_.size() == 1 ? 0 : static_cast<size_t>(item % points_);
  }
  int64_t row(int64_t item) const {
    const int64_t sample = item / points_;
    return factor_.size() == 1 ? item % points_ * samples() + sample : sample;
  }

  Form form_;
  std::vector<at::Tensor> diagonal_, factor_, s1_;
  at::Tensor z_, sigma_, coefficient_;
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

at::Tensor plain(Form form, const variable_list& parts, const variable_list& s1,
                 const at::Tensor& z, const at::Tensor& sigma, const at::Tensor& coefficient) {
  std::vector<SymmetricOperator> s2;
  for (size_t i = 0; i < s1.size(); ++i) {
    s2.push_back(SymmetricOperator::from_low_rank(parts[2 * i], parts[2 * i + 1]));
  }
  if (s1.size() == 3) {
    return hessian_loss_antithetic_plain(form, {s1[0], s1[1], s1[2], s2[0], s2[1], s2[2]}, z, sigma,
                                         coefficient);
  }
  return s1[0].size(0) == z.size(0)
             ? hessian_loss_plain(form, s1[0], s2[0], z, sigma)
             : hessian_loss_antithetic_plain(form, s1[0], s2[0], z, sigma, coefficient);
}

struct FusedHessianLoss : torch::autograd::Function<FusedHessianLoss> {
  static at::Tensor forward(AutogradContext* context, int64_t form, at::TensorList parts,
                            at::TensorList s1, const at::Tensor& z, const at::Tensor& sigma,
                            const at::Tensor& coefficient) {
    const Items items(static_cast<Form>(form), parts, s1, z, sigma, coefficient);
    const at::Tensor coefficients = at::empty({items.coefficient_offsets().back()}, at::kFloat);
    const at::Tensor result = losses(items, coefficients);
    variable_list saved = parts.vec();
    saved.insert(saved.end(), s1.begin(), s1.end());
    saved.insert(saved.end(), {z, sigma, coefficient, coefficients});
    context->save_for_backward(saved);
    context->saved_data["form"] = form;
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const size_t count = (saved.size() - 4) / 3;  // of parts
    const auto form = static_cast<Form>(context->saved_data["form"].toInt());
    const variable_list parts(saved.begin(), saved.begin() + static_cast<int64_t>(2 * count));
    const variable_list s1(saved.begin() + static_cast<int64_t>(2 * count), saved.end() - 4);
    const at::Tensor &z = saved[3 * count], &sigma = saved[3 * count + 1];
    const at::Tensor& coefficient = saved[3 * count + 2];
    variable_list gradients(1 + 3 * count + 3);  // one an argument; none but the parts'
    const variable_list computed =
        at::GradMode::is_enabled()
            ? torch::autograd::grad({plain(form, parts, s1, z, sigma, coefficient)}, parts,
                                    {outputs[0]}, true, true, true)
            : differentiate(Items(form, parts, s1, z, sigma, coefficient), saved.back(),
                            outputs[0]);
    std::copy(computed.begin(), computed.end(), gradients.begin() + 1);
    return gradients;
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

bool can_fuse_hessian_loss(Form form, const std::vector<at::Tensor>& s1,
                           const std::vector<SymmetricOperator>& s2, const at::Tensor& z,
                           const at::Tensor& sigma) {
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
  int64_t rows = 0;
  for (size_t i = 0; i < s2.size(); ++i) {
    if (s2[i].structure() != linalg::Structure::kLowRank || s2[i].rank() < 1 ||
        s2[i].rank() != s2[0].rank() || s2[i].dim() != z.size(1) || !usable(s1[i]) ||
        !usable(s2[i].diagonal_part()) || !usable(s2[i].factor()) || s1[i].dim() != 2 ||
        s1[i].size(0) != s2[i].batch() || s1[i].size(1) != z.size(1) ||
        (s2.size() > 1 && s2[i].batch() != z.size(0))) {
      return false;
    }
    rows += s2[i].batch();
  }
  return rows == z.size(0) || rows == 3 * z.size(0);
}

at::Tensor fused_hessian_loss(Form form, const std::vector<at::Tensor>& s1,
                              const std::vector<SymmetricOperator>& s2, const at::Tensor& z,
                              const at::Tensor& sigma, const at::Tensor& given) {
  const at::Tensor coefficient = given.defined() ? given.detach() : at::ones_like(sigma);
  variable_list parts, held;
  for (size_t i = 0; i < s2.size(); ++i) {
    parts.push_back(s2[i].diagonal_part());
    parts.push_back(s2[i].factor());
    held.push_back(s1[i].detach());
  }
  const bool differentiable = at::GradMode::is_enabled() &&
                              std::any_of(parts.begin(), parts.end(),
                                          [](const auto& part) { return part.requires_grad(); });
  if (!differentiable) return losses(Items(form, parts, held, z, sigma, coefficient), {});
  return FusedHessianLoss::apply(static_cast<int64_t>(form), at::TensorList(parts),
                                 at::TensorList(held), z, sigma, coefficient);
}

}  // namespace scorejet::objectives
