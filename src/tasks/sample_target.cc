#include "src/tasks/sample_target.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "scorejet/autodiff_field.h"
#include "scorejet/dataset.h"
#include "scorejet/distribution.h"
#include "scorejet/torchscript_field.h"
#include "src/base/error.h"
#include "src/base/noise.h"
#include "src/base/seed.h"
#include "src/training/run_folder.h"

namespace scorejet::tasks {
namespace {

namespace fs = std::filesystem;

at::Generator start_generator(const TargetRequest& request) {
  return base::make_generator(request.seed, "chain starts");
}

// N(mean, variance + σ²), [chains, D].
std::function<at::Tensor(double)> gaussian_start(const TargetRequest& request,
                                                 const at::Tensor& mean,
                                                 const at::Tensor& variance) {
  return [=, chains = request.chains, generator = start_generator(request)](double sigma) {
    const at::Tensor z = at::randn({chains, mean.size(0)}, generator, mean.options());
    return mean + (variance + sigma * sigma).sqrt() * z;
  };
}

at::Tensor starting_rows(const TargetRequest& request, const data::Dataset& dataset,
                         const std::string& what) {
  if (request.chains > dataset.size()) {
    base::fail_argument("sample", "--chains must be at most {}, the {}; got {}", dataset.size(),
                        what, request.chains);
  }
  return dataset.slice(0, request.chains);
}

// Clean points plus noise are points of p_sigma.
at::Tensor add_start_noise(const TargetRequest& request, const at::Tensor& x) {
  return base::add_noise(x, request.sigma, start_generator(request));
}

SampleTarget open_run(const TargetRequest& request, const base::Listener& listener) {
  const auto run =
      std::make_shared<training::Run>(training::load_run(request.name, request.device));
  listener.on_notice(training::sigma_notice(*run, request.sigma));
  SampleTarget result;
  result.target.field = {run, run->model.get()};
  result.image_shape = run->model->options().network.image_shape;
  result.device = run->model->data_mean().device();
  result.sigma_max = std::max(run->config.noise.sigma, run->config.noise.sigma_max);
  result.identity =
      fmt::format("{} after {} steps", fs::weakly_canonical(request.name).string(), run->step);
  result.from_noise =
      gaussian_start(request, run->model->data_mean().cpu(), run->model->data_variance().cpu());
  if (request.start.empty() && request.init == "data") {
    const data::DatasetSplits splits =
        data::load_splits(run->config.data.name, run->config.data.dir, run->config.data.validation);
    result.x0 = add_start_noise(request, starting_rows(request, splits.test, "test samples"));
  }
  return result;
}

SampleTarget open_density(const TargetRequest& request) {
  const std::shared_ptr<const distributions::Distribution> density =
      distributions::make_density(request.name);
  SampleTarget result;
  result.target.field = density;
  result.identity = request.name;
  const at::Tensor probe = density->sample(10000, base::make_generator(0, "moments"));
  result.from_noise = gaussian_start(request, probe.mean(0), probe.var(0));
  if (request.start.empty() && request.init == "data") {
    const at::Generator generator = base::make_generator(request.seed, "chain starts, clean");
    result.x0 = add_start_noise(request, density->sample(request.chains, generator));
  }
  return result;
}

SampleTarget open_torchscript(const TargetRequest& request) {
  if (request.start.empty()) {
    base::fail_argument("sample", "--start FILE must give starting points of {}", request.name);
  }
  const data::Dataset start = data::load_file(request.start);
  const std::vector<int64_t> shape =
      start.is_image() ? start.image_shape : std::vector<int64_t>{start.dim()};
  const auto field = std::make_shared<score::TorchScriptField>(
      request.name, score::TorchScriptOptions{.predicts = score::parse_prediction(request.predicts),
                                              .sample_shape = shape});
  SampleTarget result;
  result.target.field = field;
  result.image_shape = start.image_shape;
  result.identity = fs::weakly_canonical(request.name).string();
  const at::Tensor x = start.slice(0, start.size());
  field->probe(x, request.sigma, /*differentiable=*/request.order > 1);
  result.from_noise = gaussian_start(request, x.mean(0), x.var(0, false));
  return result;
}

}  // namespace

SampleTarget open_target(const TargetRequest& request, const base::Listener& listener) {
  if (request.init != "data" && request.init != "noise") {
    base::fail_argument("sample", "--init must be data or noise; got \"{}\"", request.init);
  }
  const std::vector<std::string> densities = distributions::density_names();
  const bool is_density =
      std::find(densities.begin(), densities.end(), request.name) != densities.end();
  SampleTarget result;
  if (fs::is_regular_file(request.name)) {
    result = open_torchscript(request);
  } else if (is_density && !fs::exists(request.name)) {
    result = open_density(request);
  } else if (fs::exists(request.name)) {
    result = open_run(request, listener);
  } else {
    base::fail_argument("sample",
                        "{} must be a run folder, a TorchScript file or one of {}; there is none",
                        request.name, fmt::join(densities, ", "));
  }
  result.target.sigma = request.sigma;
  if (!request.start.empty()) {
    const data::Dataset start = data::load_file(request.start);
    listener.on_notice(start.notice);
    result.x0 = starting_rows(request, start, "rows of " + request.start);
  } else if (request.init == "noise") {
    result.x0 = result.from_noise(request.sigma);
  }
  if (result.x0.defined()) result.x0 = result.x0.to(result.device);
  if (request.order > result.target.field->max_order()) {
    listener.on_notice("s2 is dense, by automatic differentiation of s1: D backward passes a step");
    result.target.field = std::make_shared<score::AutodiffField>(result.target.field);
  }
  return result;
}

}  // namespace scorejet::tasks
