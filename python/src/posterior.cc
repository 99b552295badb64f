// The Gaussian posterior, its components, long batches of posteriors, calibration, noise levels.
#include "scorejet/posterior.h"
#include "python/src/bindings.h"
#include "scorejet/calibration.h"
#include "scorejet/components.h"
#include "scorejet/gaussian.h"
#include "scorejet/marginal.h"
#include "src/posterior/noise_level.h"

namespace scorejet::python {
namespace {

using posterior::Gaussian;

base::Listener stopping_listener() {
  base::Listener listener;
  listener.stop = [] {
    check_signals();
    return false;
  };
  return listener;
}

void bind_gaussian(py::module_& module) {
  py::class_<Gaussian>(module, "Gaussian")
      .def(py::init<at::Tensor, linalg::SymmetricOperator>(), py::arg("mean"),
           py::arg("covariance"))
      .def_property_readonly("mean", &Gaussian::mean)
      .def_property_readonly("variance", &Gaussian::variance)
      .def_property_readonly("covariance", &Gaussian::covariance)
      .def("standard_deviation", &Gaussian::standard_deviation, Released())
      .def(
          "interval",
          [](const Gaussian& gaussian, double level) {
            const posterior::Interval interval = gaussian.interval(level);
            return std::make_tuple(interval.lower, interval.upper);
          },
          py::arg("level"), Released())
      .def("sample", &Gaussian::sample, py::arg("num"), py::arg("seed"), py::arg("first_row"),
           Released())
      .def("mahalanobis_squared", &Gaussian::mahalanobis_squared, py::arg("x"), Released())
      .def("log_likelihood", &Gaussian::log_likelihood, py::arg("x"), Released())
      .def("entropy", &Gaussian::entropy, Released())
      .def("crps", &Gaussian::crps, py::arg("x"), Released())
      .def("scaled", py::overload_cast<double>(&Gaussian::scaled, py::const_),
           py::arg("temperature"), Released())
      .def("region", &Gaussian::region, py::arg("indices"), Released());
  module.def(
      "gaussian_posterior",
      [](const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma) {
        const at::NoGradGuard no_grad;
        return Gaussian::from_jet(x, sigma, field.evaluate(x, sigma, 2));
      },
      py::arg("field"), py::arg("x"), py::arg("sigma"), Released());
}

void bind_components(py::module_& module) {
  using posterior::Components;
  py::class_<Components>(module, "Components")
      .def_readonly("values", &Components::values)
      .def_readonly("vectors", &Components::vectors)
      .def_readonly("residual", &Components::residual)
      .def_readonly("iterations", &Components::iterations)
      .def_readonly("evaluations", &Components::evaluations)
      .def_readonly("converged", &Components::converged)
      .def_readonly("difference_error", &Components::difference_error);
  module.def(
      "components",
      [](const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
         int64_t count, const std::optional<at::Tensor>& indices, double tolerance,
         int64_t max_iterations, bool direct, int64_t max_points, bool forward_only) {
        return posterior::top_components(field, x, sigma,
                                         {.count = count,
                                          .indices = indices.value_or(at::Tensor()),
                                          .tolerance = tolerance,
                                          .max_iterations = max_iterations,
                                          .direct = direct,
                                          .max_points = max_points,
                                          .forward_only = forward_only});
      },
      py::arg("field"), py::arg("x"), py::arg("sigma"), py::arg("count"), py::arg("indices"),
      py::arg("tolerance"), py::arg("max_iterations"), py::arg("direct"), py::arg("max_points"),
      py::arg("forward_only"), Released());
  module.def(
      "directional_cumulants",
      [](const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
         const at::Tensor& v,
         int64_t order) { return posterior::directional_cumulants(field, x, sigma, v, order); },
      py::arg("field"), py::arg("x"), py::arg("sigma"), py::arg("v"), py::arg("order"), Released());
}

void bind_denoise(py::module_& module) {
  using posterior::Posterior;
  py::class_<Posterior>(module, "Posterior")
      .def_readonly("mean", &Posterior::mean)
      .def_readonly("variance", &Posterior::variance)
      .def_readonly("eigenvalues", &Posterior::eigenvalues)
      .def_readonly("components", &Posterior::components)
      .def_readonly("samples", &Posterior::samples)
      .def_readonly("num_negative_variances", &Posterior::num_negative_variances)
      .def_readonly("eigen_residual", &Posterior::eigen_residual)
      .def_readonly("eigen_converged", &Posterior::eigen_converged);
  module.def(
      "denoise",
      [](const score::ScoreField& field, const at::Tensor& x, double sigma,
         const std::string& covariance, int64_t components, int64_t samples, uint64_t seed,
         double temperature) {
        posterior::PosteriorOptions options;
        options.covariance = covariance == "exact"      ? posterior::Covariance::kExact
                             : covariance == "subspace" ? posterior::Covariance::kSubspace
                                                        : posterior::Covariance::kLearned;
        options.wanted = {.num_components = components,
                          .num_samples = samples,
                          .seed = seed,
                          .temperature = temperature};
        options.device = x.device();
        return posterior::posteriors(field, x.cpu(), sigma, options, stopping_listener());
      },
      py::arg("field"), py::arg("x"), py::arg("sigma"), py::arg("covariance"),
      py::arg("components"), py::arg("samples"), py::arg("seed"), py::arg("temperature"),
      Released());
  module.def("exact_bytes", &posterior::exact_bytes, py::arg("dim"));
  module.attr("MAX_EXACT_BYTES") = posterior::kMaxExactBytes;
  module.def("estimate_noise", &posterior::estimate_noise, py::arg("image"), Released());
}

py::dict to_dict(const posterior::CalibrationSummary& summary) {
  py::dict result;
  result["coverage"] = summary.coverage;
  result["component_coverage"] = summary.component_coverage;
  result["coverage_error"] = summary.coverage_error;
  result["mahalanobis_mean"] = summary.mahalanobis_mean;
  result["mahalanobis_sd"] = summary.mahalanobis_sd;
  result["log_loss"] = summary.log_loss;
  result["sharpness"] = summary.sharpness;
  result["residual_energy"] = summary.energy;
  result["pit"] = summary.pit;
  result["component_pit"] = summary.component_pit;
  return result;
}

void bind_calibration(py::module_& module) {
  module.def(
      "calibrate",
      [](const score::ScoreField& field, const at::Tensor& fit, const at::Tensor& test,
         double sigma, std::vector<double> levels, int64_t components, uint64_t seed) {
        posterior::Calibration calibration;
        {
          const py::gil_scoped_release released;
          calibration = posterior::calibrate(
              field, fit, test, sigma,
              {.levels = std::move(levels), .num_components = components, .seed = seed});
        }
        const posterior::CalibrationRecord& record = calibration.record;
        py::dict result;
        result["sigma"] = record.fitted.sigma;
        result["temperature"] = record.fitted.temperature;
        result["levels"] = record.fitted.levels;
        result["widths"] = record.fitted.widths;
        result["component_widths"] = record.fitted.component_widths;
        result["num_fit"] = record.num_fit;
        result["num_test"] = record.num_test;
        result["raw"] = to_dict(record.raw);
        result["calibrated"] = to_dict(record.calibrated);
        return result;
      },
      py::arg("field"), py::arg("fit"), py::arg("test"), py::arg("sigma"), py::arg("levels"),
      py::arg("components"), py::arg("seed"));
}

}  // namespace

void bind_posterior(py::module_& module) {
  bind_gaussian(module);
  bind_components(module);
  bind_denoise(module);
  bind_calibration(module);
}

}  // namespace scorejet::python
