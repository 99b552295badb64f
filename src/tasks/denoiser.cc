#include "src/tasks/denoiser.h"

#include <ATen/ATen.h>

#include <filesystem>

#include "scorejet/torchscript_field.h"
#include "src/base/device.h"
#include "src/base/error.h"

namespace scorejet::tasks {
namespace {

using posterior::Covariance;

void take_run(Denoiser& denoiser, std::shared_ptr<const training::Run> run,
              const data::Dataset& input) {
  if (input.dim() != run->model->dim()) {
    base::fail_argument("denoise", "{} must have D = {} numbers a sample, as the run has; got {}",
                        input.name, run->model->dim(), input.dim());
  }
  denoiser.image_shape = run->model->options().network.image_shape;
  denoiser.device = run->model->data_mean().device();
  denoiser.field = {run, run->model.get()};
  denoiser.run = std::move(run);
}

void open_network(Denoiser& denoiser, const DenoiserRequest& request, const data::Dataset& input,
                  double sigma) {
  denoiser.image_shape = input.image_shape;
  denoiser.device = base::parse_device(request.device);
  const std::vector<int64_t> shape =
      input.is_image() ? input.image_shape : std::vector<int64_t>{input.dim()};
  auto field = std::make_shared<score::TorchScriptField>(
      request.file, score::TorchScriptOptions{.predicts = score::parse_prediction(request.predicts),
                                              .sample_shape = shape,
                                              .device = denoiser.device});
  const at::Tensor x = input.slice(0, std::min<int64_t>(2, input.size())).to(denoiser.device);
  field->probe(x, sigma, /*differentiable=*/true);
  denoiser.field = field;
}

Covariance choose_covariance(const DenoiserRequest& request, const score::ScoreField& field) {
  if (request.covariance == "auto") {
    return field.max_order() >= 2 ? Covariance::kLearned : Covariance::kSubspace;
  }
  if (request.covariance == "subspace") return Covariance::kSubspace;
  if (request.covariance != "exact") {
    base::fail_argument("denoise", "--covariance must be auto, subspace or exact; got \"{}\"",
                        request.covariance);
  }
  const int64_t bytes = posterior::exact_bytes(field.dim());
  if (bytes > posterior::kMaxExactBytes) {
    base::fail_argument("denoise",
                        "--covariance exact must need at most {} MiB a sample; got {} MiB for D = "
                        "{} (subspace makes no matrix)",
                        posterior::kMaxExactBytes >> 20, bytes >> 20, field.dim());
  }
  return Covariance::kExact;
}

}  // namespace

Denoiser open_denoiser(const DenoiserRequest& request, const data::Dataset& input, double sigma,
                       std::shared_ptr<const training::Run> run) {
  if (request.run.empty() == request.file.empty()) {
    base::fail_argument("denoise", "a run folder or --denoiser FILE.pt must be given, and not {}",
                        request.run.empty() ? "none" : "both");
  }
  if (!(sigma > 0)) base::fail_argument("denoise", "--sigma must be positive; got {}", sigma);
  Denoiser denoiser;
  denoiser.name = request.run.empty() ? request.file : request.run;
  if (request.file.empty()) {
    if (!run)
      run = std::make_shared<training::Run>(training::load_run(request.run, request.device));
    take_run(denoiser, std::move(run), input);
  } else {
    open_network(denoiser, request, input, sigma);
  }
  denoiser.covariance = choose_covariance(request, *denoiser.field);
  return denoiser;
}

posterior::Posterior denoise_samples(const Denoiser& denoiser, const at::Tensor& x, double sigma,
                                     const posterior::DenoiseOptions& wanted,
                                     const base::Listener& listener) {
  return posterior::posteriors(*denoiser.field, x, sigma,
                               {.covariance = denoiser.covariance,
                                .wanted = wanted,
                                .device = denoiser.device,
                                .name = denoiser.name},
                               listener);
}

std::string covariance_notice(const Denoiser& denoiser) {
  if (denoiser.has_variance()) return "";
  const std::string train =
      denoiser.run
          ? "train a run with model.s2"
          : fmt::format("let `scorejet train` learn one, with s1.from = \"{}\"", denoiser.name);
  return fmt::format(
      "no standard deviation, as {} has no s2: give --covariance exact ({} backward "
      "passes a block), or {}",
      denoiser.name, denoiser.field->dim(), train);
}

}  // namespace scorejet::tasks
