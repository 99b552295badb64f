#include "python/src/callable_field.h"

#include <ATen/ATen.h>

#include <numeric>

#include "src/base/check.h"

namespace scorejet::python {
namespace {

constexpr const char* kFieldWhere = "scorejet.field";

std::string shape_of(at::IntArrayRef sizes) {
  std::string text = "[";
  for (const int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

std::string type_name(const py::handle& object) {
  return py::str(py::type::handle_of(object).attr("__name__"));
}

}  // namespace

CallableField::CallableField(py::object f, const CallableOptions& options)
    : f_(std::move(f)), options_(options) {
  for (const int64_t size : options.shape) dim_ *= size;
  if (options.shape.empty() || dim_ < 1) {
    base::fail_argument(kFieldWhere, "shape must be that of one sample, sizes >= 1; got {}",
                        shape_of(options.shape));
  }
}

CallableField::~CallableField() {
  const py::gil_scoped_acquire gil;  // the last owner may be a thread of C++
  f_ = py::object();
}

at::Tensor CallableField::call(const at::Tensor& x, const at::Tensor& sigma,
                               std::optional<linalg::SymmetricOperator>* s2) const {
  std::vector<int64_t> shape{x.size(0)};
  shape.insert(shape.end(), options_.shape.begin(), options_.shape.end());
  const at::Tensor input = x.reshape(shape);
  const bool counted = !input.is_inference();
  const auto version = counted ? input._version() : 0;
  at::Tensor output;
  {
    const py::gil_scoped_acquire gil;
    py::object result;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (s2) {
        const auto both = f_.attr("both")(input, sigma).cast<py::tuple>();
        result = both[0];
        *s2 = both[1].cast<linalg::SymmetricOperator>();
      } else {
        result = f_(input, sigma);
      }
    } catch (const py::error_already_set& error) {
      note_interrupt(error);
      throw;
    }
    if (!THPVariable_Check(result.ptr())) {
      base::fail_argument(kFieldWhere, "f must return a torch.Tensor; got {}", type_name(result));
    }
    output = result.cast<at::Tensor>();
  }
  if (counted && input._version() != version) {
    base::fail_argument(kFieldWhere, "f must not change its input in place; it did");
  }
  if (output.sizes() != input.sizes() && output.sizes() != x.sizes()) {
    base::fail_argument(kFieldWhere, "f must return a tensor of x's shape {}; got {}",
                        shape_of(shape), shape_of(output.sizes()));
  }
  if (!output.is_floating_point()) {
    base::fail_argument(kFieldWhere, "f must return real numbers; got a tensor of {}",
                        at::toString(output.scalar_type()));
  }
  if (output.device() != x.device()) {
    base::fail_argument(kFieldWhere, "f must return a tensor on x's device {}; got {}",
                        x.device().str(), output.device().str());
  }
  if (at::GradMode::is_enabled() && x.requires_grad() && !output.requires_grad()) {
    base::fail_argument(
        kFieldWhere,
        "f must be differentiable in x by autograd, which a covariance of its score "
        "needs; got an output without graph (no_grad, inference_mode, detach or "
        "NumPy inside?). components(..., forward_only=True) needs no graph");
  }
  return output.reshape(x.sizes()).to(x.scalar_type());
}

score::Jet CallableField::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  base::check_shape(kFieldWhere, "x", x, {-1, dim_});
  if (order < 1 || order > max_order()) {
    base::fail_argument(kFieldWhere, "order must be 1 to {}; got {}", max_order(), order);
  }
  base::check_finite(kFieldWhere, "x", x);
  const at::Tensor noise = score::broadcast_sigma(kFieldWhere, x, sigma);
  if (options_.sigma_max > 0) {
    constexpr double kRounding = 1e-6;
    const double least = noise.min().item<double>(), most = noise.max().item<double>();
    if (least < options_.sigma_min * (1 - kRounding) ||
        most > options_.sigma_max * (1 + kRounding)) {
      base::fail_domain(kFieldWhere, "sigma must lie in {} to {}, which f is good for; got {:.6g}",
                        options_.sigma_min, options_.sigma_max,
                        least < options_.sigma_min ? least : most);
    }
  }
  score::Jet jet;
  const at::Tensor output = call(x, noise, order > 1 ? &jet.s2 : nullptr);
  const at::Tensor column = noise.unsqueeze(-1);
  switch (options_.predicts) {
    case score::Prediction::kClean:
      jet.s1 = (output - x) / column.square();
      break;
    case score::Prediction::kNoise:
      jet.s1 = -output / column;
      break;
    case score::Prediction::kScore:
      jet.s1 = output;
      break;
  }
  return jet;
}

}  // namespace scorejet::python
