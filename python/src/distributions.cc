// Densities with exact scores: what estimates are held against.
#include "python/src/bindings.h"
#include "scorejet/distribution.h"
#include "scorejet/gaussian_mixture.h"
#include "src/base/seed.h"

namespace scorejet::python {

void bind_distributions(py::module_& module) {
  using distributions::Distribution;
  using distributions::GaussianMixture;
  py::class_<Distribution, score::ScoreField, std::shared_ptr<Distribution>>(module, "Distribution")
      .def(
          "sample",
          [](const Distribution& density, int64_t count, uint64_t seed, const std::string& stream) {
            return density.sample(count, base::make_generator(seed, stream));
          },
          py::arg("count"), py::arg("seed"), py::arg("stream"), Released());
  py::class_<GaussianMixture, Distribution, std::shared_ptr<GaussianMixture>>(module,
                                                                              "GaussianMixture")
      .def(py::init<const at::Tensor&, const at::Tensor&, const at::Tensor&>(), py::arg("weights"),
           py::arg("means"), py::arg("covariances"));
  module.def("density_names", &distributions::density_names);
  module.def(
      "make_density",
      [](const std::string& name) {
        return std::shared_ptr<Distribution>(distributions::make_density(name));
      },
      py::arg("name"));
}

}  // namespace scorejet::python
