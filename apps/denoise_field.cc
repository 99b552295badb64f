#include "apps/denoise_field.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>

#include "scorejet/base/device.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/linalg/lanczos.h"
#include "scorejet/posterior/components.h"
#include "scorejet/posterior/gaussian.h"
#include "scorejet/score/autodiff_field.h"
#include "scorejet/score/torchscript_field.h"

namespace scorejet::apps {
namespace {

constexpr int64_t kBlock = 100;                  // samples at a time, by evaluations alone
constexpr int64_t kSubspaceBlock = 10;           // by many products each
constexpr int64_t kMaxBytes = int64_t{1} << 30;  // of Jacobians in memory

// The Jacobian's rows, the matrix, its symmetric part and a temporary, in float32.
int64_t exact_bytes(int64_t dim) { return 4 * 4 * dim * dim; }

void open_run(Denoiser& denoiser, const DenoiserRequest& request, const data::Dataset& input) {
  auto run = std::make_shared<training::Run>(training::load_run(request.run, request.device));
  if (input.dim() != run->model->dim()) {
    base::fail_argument("denoise", "{} must have D = {} numbers a sample, as the run has; got {}",
                        input.name, run->model->dim(), input.dim());
  }
  denoiser.image_shape = run->model->options().network.image_shape;
  denoiser.device = run->model->data_mean().device();
  denoiser.field = {run, run->model.get()};
  denoiser.run = run;
}

void open_file(Denoiser& denoiser, const DenoiserRequest& request, const data::Dataset& input) {
  denoiser.image_shape = input.image_shape;
  denoiser.device = base::parse_device(request.device);
  const std::vector<int64_t> shape =
      input.is_image() ? input.image_shape : std::vector<int64_t>{input.dim()};
  auto field = std::make_shared<score::TorchScriptField>(
      request.file, score::TorchScriptOptions{.predicts = score::parse_prediction(request.predicts),
                                              .sample_shape = shape,
                                              .device = denoiser.device});
  const at::Tensor x = input.slice(0, std::min<int64_t>(2, input.size())).to(denoiser.device);
  field->probe(x, request.sigma, /*differentiable=*/true);
  denoiser.field = field;
}

Covariance choose(const DenoiserRequest& request, const score::ScoreField& field) {
  if (request.covariance == "auto") {
    return field.max_order() >= 2 ? Covariance::kLearned : Covariance::kSubspace;
  }
  if (request.covariance == "subspace") return Covariance::kSubspace;
  if (request.covariance != "exact") {
    base::fail_argument("denoise", "--covariance must be auto, subspace or exact; got \"{}\"",
                        request.covariance);
  }
  const int64_t bytes = exact_bytes(field.dim());
  if (bytes > kMaxBytes) {
    base::fail_argument("denoise",
                        "--covariance exact must need at most {} MiB a sample; got {} MiB for D = "
                        "{} (subspace makes no matrix)",
                        kMaxBytes >> 20, bytes >> 20, field.dim());
  }
  return Covariance::kExact;
}

void check_mean(const Denoiser& denoiser, const at::Tensor& mean, int64_t first_row) {
  const at::Tensor bad = at::isfinite(mean).logical_not();
  if (!bad.any().item<bool>()) return;
  const at::Tensor place = at::nonzero(bad)[0];
  const auto row = place[0].item<int64_t>(), coordinate = place[1].item<int64_t>();
  base::fail_domain("denoise", "{} must give finite means; got {} at sample {}, coordinate {}",
                    denoiser.name, mean[row][coordinate].item<double>(), first_row + row,
                    coordinate);
}

// From the Jacobian of s1 in full. Its symmetric part need not be that of a covariance: variances
// are as they are, draws are of the nearest covariance.
void add_exact(DenoisedSamples& block, const posterior::Gaussian& gaussian,
               const posterior::DenoiseOptions& options) {
  posterior::DenoiseResult& result = block.posterior;
  const linalg::SymmetricOperator& covariance = gaussian.covariance();
  result.variance = gaussian.variance();
  result.num_negative_variances = (result.variance < 0).sum().item<int64_t>();
  if (options.num_components > 0) {
    const linalg::EigenPairs pairs = linalg::top_eigenpairs(covariance, options.num_components);
    result.eigenvalues = pairs.values;
    result.components = pairs.vectors.transpose(1, 2).contiguous();
    result.eigen_residual = pairs.residual;
    result.eigen_converged = pairs.converged;
  }
  if (options.num_samples > 0) {
    const auto [values, vectors] = at::linalg_eigh(covariance.matrix());
    const at::Tensor positive = values.clamp_min(0);
    block.negative_part = ((positive - values).sum() / positive.sum()).item<double>();
    const auto nearest = linalg::SymmetricOperator::from_low_rank(
        at::zeros_like(values), vectors * positive.sqrt().unsqueeze(1));
    result.samples = posterior::Gaussian(gaussian.mean(), nearest)
                         .sample(options.num_samples, options.seed, options.first_row);
  }
}

void move_to_cpu(posterior::DenoiseResult& result) {
  for (at::Tensor* tensor :
       {&result.mean, &result.variance, &result.eigenvalues, &result.components, &result.samples}) {
    if (tensor->defined()) *tensor = tensor->cpu();
  }
}

// Samples at a time, with so many components each.
int64_t block_rows(const Denoiser& denoiser, int64_t components) {
  if (denoiser.covariance == Covariance::kLearned) return kBlock;
  if (denoiser.covariance == Covariance::kSubspace) return components > 0 ? kSubspaceBlock : kBlock;
  return std::clamp<int64_t>(kMaxBytes / exact_bytes(denoiser.field->dim()), 1, kBlock);
}

// The posterior at rows x [B, D], x on the CPU; samples are numbered from options.first_row on.
DenoisedSamples denoise_block(const Denoiser& denoiser, const at::Tensor& x, double sigma,
                              const posterior::DenoiseOptions& options) {
  const at::Tensor points = x.to(denoiser.device), level = at::full({}, sigma, points.options());
  DenoisedSamples block;
  posterior::DenoiseResult& result = block.posterior;
  const bool exact = denoiser.covariance == Covariance::kExact;
  if (denoiser.covariance == Covariance::kLearned) {
    result = posterior::denoise(*denoiser.field, points, level, options);
    check_mean(denoiser, result.mean, options.first_row);
  } else {
    at::NoGradGuard no_grad;
    result.mean = points + sigma * sigma * denoiser.field->evaluate(points, level, 1).s1;
    check_mean(denoiser, result.mean, options.first_row);
  }
  if (denoiser.covariance == Covariance::kSubspace && options.num_components > 0) {
    const posterior::Components top = posterior::top_components(
        *denoiser.field, points, level, {.count = options.num_components, .direct = false});
    result.eigenvalues = top.values * options.temperature;
    result.components = top.vectors;
    result.eigen_residual = top.residual;
    result.eigen_converged = top.converged;
  }
  if (exact) {
    const score::AutodiffField field(*denoiser.field);
    const score::Jet jet = field.evaluate(points, level, 2);
    add_exact(block, posterior::Gaussian::from_jet(points, level, jet).scaled(options.temperature),
              options);
  }
  move_to_cpu(result);
  return block;
}

}  // namespace

const char* covariance_name(Covariance value) {
  constexpr const char* kNames[] = {"learned", "subspace", "exact"};
  return kNames[static_cast<int>(value)];
}

Denoiser open_denoiser(const DenoiserRequest& request, const data::Dataset& input) {
  if (request.run.empty() == request.file.empty()) {
    base::fail_argument("denoise", "a run folder or --denoiser FILE.pt must be given, and not {}",
                        request.run.empty() ? "none" : "both");
  }
  if (!(request.sigma > 0)) {
    base::fail_argument("denoise", "--sigma must be positive; got {}", request.sigma);
  }
  Denoiser denoiser;
  denoiser.name = request.run.empty() ? request.file : request.run;
  if (request.file.empty()) {
    open_run(denoiser, request, input);
  } else {
    open_file(denoiser, request, input);
  }
  denoiser.covariance = choose(request, *denoiser.field);
  return denoiser;
}

DenoisedSamples denoise_samples(const Denoiser& denoiser, const at::Tensor& x, double sigma,
                                const posterior::DenoiseOptions& options) {
  std::vector<at::Tensor> mean, variance, eigenvalues, components, samples;
  DenoisedSamples all;
  posterior::DenoiseResult& result = all.posterior;
  base::Progress bar("denoise", x.size(0));
  const int64_t rows = block_rows(denoiser, options.num_components);
  for (int64_t first = 0; first < x.size(0); first += rows) {
    const int64_t count = std::min(rows, x.size(0) - first);
    posterior::DenoiseOptions block_options = options;
    block_options.first_row = options.first_row + first;
    const DenoisedSamples block =
        denoise_block(denoiser, x.narrow(0, first, count), sigma, block_options);
    const posterior::DenoiseResult& part = block.posterior;
    mean.push_back(part.mean);
    if (part.variance.defined()) variance.push_back(part.variance);
    if (options.num_components > 0) {
      eigenvalues.push_back(part.eigenvalues);
      components.push_back(part.components);
    }
    if (options.num_samples > 0) samples.push_back(part.samples);
    result.num_negative_variances += part.num_negative_variances;
    result.eigen_residual = std::max(result.eigen_residual, part.eigen_residual);
    result.eigen_converged = result.eigen_converged && part.eigen_converged;
    if (block.negative_part) {
      all.negative_part = std::max(all.negative_part.value_or(0), *block.negative_part);
    }
    bar.update(first + count, "");
  }
  const auto join = [](const std::vector<at::Tensor>& parts) {
    return parts.empty() ? at::Tensor() : at::cat(parts);
  };
  result.mean = join(mean);
  result.variance = join(variance);
  result.eigenvalues = join(eigenvalues);
  result.components = join(components);
  result.samples = join(samples);
  return all;
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

}  // namespace scorejet::apps
