// Markov chains by any kernel on any field, and what they are worth.
#include <ATen/ATen.h>

#include "python/src/bindings.h"
#include "scorejet/chains.h"
#include "scorejet/diagnostics.h"
#include "scorejet/kernel.h"

namespace scorejet::python {
namespace {

using Observe = std::function<void(int64_t step, const at::Tensor& positions)>;

py::list kernel_table() {
  py::list table;
  for (const sampling::Kernel& kernel : sampling::kernels()) {
    py::list options;
    for (const sampling::KernelOption& option : kernel.options) {
      if (option.expert) continue;
      py::dict entry;
      entry["name"] = option.name;
      entry["default"] = option.value;
      entry["least"] = option.least;
      entry["most"] = option.most;
      entry["integer"] = option.integer;
      entry["help"] = option.help;
      options.append(entry);
    }
    py::dict row;
    row["name"] = kernel.name;
    row["law"] = kernel.law;
    row["order"] = kernel.order;
    row["needs_log_density"] = kernel.adjustment == sampling::Adjustment::kExact;
    row["adjusted"] = kernel.adjustment != sampling::Adjustment::kNone;
    row["options"] = options;
    table.append(row);
  }
  return table;
}

struct SampleRequest {
  std::string kernel;
  std::map<std::string, double> options;
  double step_size = 0;
  sampling::ChainOptions chains;
};

sampling::ChainResult run(const FieldPointer& field, const FieldPointer& density,
                          const at::Tensor& x0, double sigma, SampleRequest request,
                          const Observe& observe, bool& stopped) {
  const sampling::Kernel& kernel = sampling::find_kernel(request.kernel);
  const sampling::Target target{.field = field, .sigma = sigma, .density = density};
  const double step_size =
      request.step_size > 0 ? request.step_size : sampling::default_step_size(kernel, sigma);
  forget_interrupts();
  request.chains.stop = [&] { return stopped = interrupted(); };
  const auto report = [&](const sampling::Chains& chains) {
    if (!observe) return;
    const py::gil_scoped_acquire gil;
    observe(chains.step, chains.state.x);
  };
  const at::NoGradGuard no_grad;
  return sampling::run_chains(target, kernel, x0, {step_size, std::move(request.options)},
                              request.chains, report);
}

}  // namespace

void bind_chains(py::module_& module) {
  using sampling::ChainResult;
  module.def("kernels", &kernel_table);
  py::class_<ChainResult>(module, "ChainResult")
      .def_readonly("positions", &ChainResult::positions)
      .def_readonly("steps", &ChainResult::steps)
      .def_property_readonly("acceptance", &ChainResult::acceptance)
      .def_property_readonly("stopped_at", [](const ChainResult& r) { return r.chains.stopped_at; })
      .def_property_readonly("stop_reason",
                             [](const ChainResult& r) { return r.chains.stop_reason; })
      .def_property_readonly("step_size",
                             [](const ChainResult& r) { return r.chains.adaptation.step_size; })
      .def_property_readonly("num_evaluations",
                             [](const ChainResult& r) { return r.chains.num_evaluations; })
      .def_property_readonly("num_bounded",
                             [](const ChainResult& r) { return r.chains.num_bounded; })
      .def("describe_stopped",
           [](const ChainResult& r) { return sampling::describe_stopped(r.chains); });
  module.def(
      "sample",
      [](FieldPointer field, FieldPointer density, const at::Tensor& x0, double sigma,
         const std::string& kernel, std::map<std::string, double> options, double step_size,
         int64_t steps, int64_t warmup, int64_t thin, uint64_t seed, Observe observe) {
        bool stopped = false;
        const ChainResult result =
            run(field, density, x0, sigma,
                {kernel,
                 std::move(options),
                 step_size,
                 {.num_steps = steps, .warmup = warmup, .thin = thin, .seed = seed}},
                observe, stopped);
        return std::make_pair(result, stopped);
      },
      py::arg("field"), py::arg("density"), py::arg("x0"), py::arg("sigma"), py::arg("kernel"),
      py::arg("options"), py::arg("step_size"), py::arg("steps"), py::arg("warmup"),
      py::arg("thin"), py::arg("seed"), py::arg("observe"), Released());
  module.def(
      "summarise",
      [](const at::Tensor& draws) {
        const sampling::ChainSummary s = sampling::summarise(draws);
        return std::map<std::string, at::Tensor>{
            {"mean", s.mean},         {"sd", s.sd},
            {"rhat", s.rhat},         {"ess_bulk", s.ess_bulk},
            {"ess_tail", s.ess_tail}, {"ess_mean", s.ess_mean},
            {"tau", s.tau},           {"mcse_mean", s.mcse_mean}};
      },
      py::arg("draws"), Released());
  module.def("autocorrelation", &sampling::autocorrelation, py::arg("draws"), py::arg("max_lag"),
             Released());
  module.def(
      "energy_distance",
      [](const at::Tensor& x, const at::Tensor& y) {
        const sampling::EnergyDistance found = sampling::energy_distance(x, y);
        return std::make_pair(found.distance, found.coefficient);
      },
      py::arg("x"), py::arg("y"), Released());
}

}  // namespace scorejet::python
