// ScoreField and its adapters, and a check of one before long work.
#include <ATen/ATen.h>
#include <torch/autograd.h>

#include "python/src/bindings.h"
#include "python/src/callable_field.h"
#include "scorejet/autodiff_field.h"
#include "src/base/check.h"
#include "src/base/error.h"

namespace scorejet::python {
namespace {

double apart(const at::Tensor& a, const at::Tensor& b) {
  const double size = a.norm().item<double>();
  return (a - b).norm().item<double>() / std::max(size, 1e-300);
}

// What is wrong with a field, tried on two rows before long work: not the same answer twice, rows
// that see each other, and (with `derivative`) a Jacobian that does not say how s1 changes, as
// where an output is clamped or half of a network is detached. Returns "" or one line.
std::string probe_field(const score::ScoreField& field, const at::Tensor& x, double sigma,
                        bool derivative) {
  constexpr double kSame = 1e-3, kDerivative = 0.2;
  const at::Tensor two = (x.size(0) > 1 ? x.narrow(0, 0, 2) : at::cat({x, 0.5 * x})).detach();
  const at::Tensor levels = at::full({2}, sigma, x.options());
  at::Tensor s1;
  {
    const at::NoGradGuard no_grad;
    s1 = field.evaluate(two, levels, 1).s1;
    base::check_finite("scorejet.field", "the score", s1);
    const double again = apart(s1, field.evaluate(two, levels, 1).s1);
    if (again > kSame) {
      return fmt::format(
          "the same x gives two answers that differ by {:.2g} of their size (dropout "
          "in train mode? call .eval())",
          again);
    }
    const at::Tensor alone = field.evaluate(two.narrow(0, 0, 1), levels.narrow(0, 0, 1), 1).s1;
    const double beside = apart(s1.narrow(0, 0, 1), alone);
    if (beside > kSame) {
      return fmt::format(
          "a row differs by {:.2g} of its size beside another (batch norm in train "
          "mode? call .eval())",
          beside);
    }
  }
  if (!derivative) return "";
  // E[clean | x] = x + σ² s1 along the noise: the derivative against a step of a tenth of σ.
  const at::Tensor v = s1 / s1.norm(2, {1}, true).clamp_min(1e-12);
  const at::Tensor exact = score::jacobian_vector_product(field, two, levels, v);
  const at::NoGradGuard no_grad;
  const double h = 0.1 * sigma;
  const at::Tensor difference =
      (field.evaluate(two + h * v, levels, 1).s1 - field.evaluate(two - h * v, levels, 1).s1) /
      (2 * h);
  const double scale = std::max(difference.norm().item<double>(), exact.norm().item<double>());
  const double error = (difference - exact).norm().item<double>() / std::max(scale, 1e-300);
  if (error > kDerivative) {
    return fmt::format(
        "autograd's derivative of the score is {:.0f} % off what small steps show (a part under "
        "no_grad or detach, a clamp or a rounding inside?)",
        100 * error);
  }
  return "";
}

}  // namespace

void bind_fields(py::module_& module) {
  using score::ScoreField;
  py::class_<ScoreField, FieldPointer>(module, "ScoreField")
      .def_property_readonly("dim", &ScoreField::dim)
      .def_property_readonly("max_order", &ScoreField::max_order)
      .def(
          "score",
          [](const ScoreField& field, const at::Tensor& x, const at::Tensor& sigma) {
            return field.evaluate(x, sigma, 1).s1;
          },
          py::arg("x"), py::arg("sigma"), Released())
      .def(
          "second_order",
          [](const ScoreField& field, const at::Tensor& x, const at::Tensor& sigma) {
            return *field.evaluate(x, sigma, 2).s2;
          },
          py::arg("x"), py::arg("sigma"), Released())
      .def(
          "third_order",
          [](const ScoreField& field, const at::Tensor& x, const at::Tensor& sigma) {
            return *field.evaluate(x, sigma, 3).s3;
          },
          py::arg("x"), py::arg("sigma"), Released())
      .def_property_readonly("has_log_density", &ScoreField::has_log_density)
      .def("log_density", &ScoreField::log_density, py::arg("x"), py::arg("sigma"), Released());
  py::class_<CallableField, ScoreField, std::shared_ptr<CallableField>>(module, "CallableField")
      .def(py::init([](py::object f, std::vector<int64_t> shape, const std::string& predicts,
                       double sigma_min, double sigma_max, bool second_order) {
             return std::make_shared<CallableField>(
                 std::move(f), CallableOptions{std::move(shape), score::parse_prediction(predicts),
                                               sigma_min, sigma_max, second_order});
           }),
           py::arg("f"), py::arg("shape"), py::arg("predicts"), py::arg("sigma_min"),
           py::arg("sigma_max"), py::arg("second_order"));
  py::class_<score::AutodiffField, ScoreField, std::shared_ptr<score::AutodiffField>>(
      module, "AutodiffField")
      .def(py::init([](FieldPointer field) {
             return std::make_shared<score::AutodiffField>(
                 std::shared_ptr<const ScoreField>(std::move(field)));
           }),
           py::arg("field"));
  module.def("probe", &probe_field, py::arg("field"), py::arg("x"), py::arg("sigma"),
             py::arg("derivative"), Released());
  module.def("jacobian_vector_product", &score::jacobian_vector_product, py::arg("field"),
             py::arg("x"), py::arg("sigma"), py::arg("v"), py::arg("transposed") = false,
             Released());
}

}  // namespace scorejet::python
