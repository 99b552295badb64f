#include "scorejet/posterior.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "scorejet/autodiff_field.h"
#include "scorejet/components.h"
#include "src/base/error.h"
#include "src/linalg/block_eigen.h"
#include "src/posterior/parts.h"

namespace scorejet::posterior {
namespace {

constexpr int64_t kEvaluatedBlock = 100;  // rows at a time, by evaluations alone
constexpr int64_t kSubspaceBlock = 10;    // by many products each

constexpr at::Tensor Posterior::*kPosteriorTensors[] = {
    &Posterior::mean,       &Posterior::variance, &Posterior::eigenvalues,
    &Posterior::components, &Posterior::samples,  &Posterior::log_likelihood,
    &Posterior::mahalanobis};

void check_mean(const std::string& name, const at::Tensor& mean, int64_t first_row) {
  const at::Tensor bad = at::isfinite(mean).logical_not();
  if (!bad.any().item<bool>()) return;
  const at::Tensor place = at::nonzero(bad)[0];
  const auto row = place[0].item<int64_t>(), coordinate = place[1].item<int64_t>();
  base::fail_domain("denoise", "{} must give finite means; got {} at sample {}, coordinate {}",
                    name, mean[row][coordinate].item<double>(), first_row + row, coordinate);
}

int64_t rows_at_once(const PosteriorOptions& options, int64_t dim) {
  if (options.block > 0) return options.block;
  switch (options.covariance) {
    case Covariance::kLearned:
      return kEvaluatedBlock;
    case Covariance::kSubspace:
      return options.wanted.num_components > 0 ? kSubspaceBlock : kEvaluatedBlock;
    case Covariance::kExact:
      break;
  }
  return std::clamp<int64_t>(kMaxExactBytes / exact_bytes(dim), 1, kEvaluatedBlock);
}

// s1 and the symmetric part of its Jacobian.
score::Jet differentiated(const score::ScoreField& field, const at::Tensor& x,
                          const at::Tensor& sigma, const at::Tensor& s1, int64_t copies) {
  if (copies == 1) return score::AutodiffField(field).evaluate(x, sigma, 2);
  const int64_t dim = x.size(1);
  const score::TracedJacobian traced(field, x, sigma, std::min(dim, copies));
  const at::Tensor identity = at::eye(dim, x.options()).expand({x.size(0), dim, dim});
  const at::Tensor jacobian = traced.apply_transposed(identity);
  return {s1, linalg::SymmetricOperator::from_dense(0.5 * (jacobian + jacobian.transpose(1, 2)))};
}

// Of an exact covariance, by block Krylov in float64: an eigendecomposition of 3,072 rows takes a
// minute.
linalg::EigenPairs krylov_pairs(const at::Tensor& covariance, int64_t count, double tolerance) {
  const at::Tensor matrix = covariance.to(at::kDouble);
  linalg::EigenPairs pairs =
      linalg::top_eigenpairs([&](const at::Tensor& v) { return at::matmul(v, matrix); },
                             matrix.size(0), matrix.size(1), count, matrix.device(),
                             {.tolerance = tolerance})
          .pairs;
  pairs.values = pairs.values.to(covariance.scalar_type());
  pairs.vectors = pairs.vectors.to(covariance.scalar_type());
  return pairs;
}

// All but the mean.
void add_exact(Posterior& result, const Gaussian& gaussian, const PosteriorOptions& options) {
  const DenoiseOptions& wanted = options.wanted;
  const linalg::SymmetricOperator& covariance = gaussian.covariance();
  result.variance = gaussian.variance();
  result.num_negative_variances = (result.variance < 0).sum().item<int64_t>();
  if (wanted.num_components > 0) {
    set_components(result,
                   options.tolerance > 0
                       ? krylov_pairs(covariance.matrix(), wanted.num_components, options.tolerance)
                       : linalg::top_eigenpairs(covariance, wanted.num_components));
  }
  if (wanted.num_samples > 0) {
    const auto [values, vectors] = at::linalg_eigh(covariance.matrix());
    const at::Tensor positive = values.clamp_min(0);
    result.negative_part = ((positive - values).sum() / positive.sum()).item<double>();
    const auto nearest = linalg::SymmetricOperator::from_low_rank(
        at::zeros_like(values), vectors * positive.sqrt().unsqueeze(1));
    result.samples = Gaussian(gaussian.mean(), nearest)
                         .sample(wanted.num_samples, wanted.seed, wanted.first_row);
  }
  if (!wanted.clean.defined()) return;
  const at::Tensor failed =
      std::get<1>(at::linalg_cholesky_ex(covariance.matrix().to(at::kDouble)));
  result.num_indefinite = (failed != 0).sum().item<int64_t>();
  if (result.num_indefinite == 0) set_distances(result, gaussian, wanted.clean);
}

// At rows x [B, D] on the field's device.
Posterior posterior_block(const score::ScoreField& field, const at::Tensor& x, double sigma,
                          const PosteriorOptions& options) {
  const DenoiseOptions& wanted = options.wanted;
  const at::Tensor level = at::full({}, sigma, x.options());
  Posterior result;
  if (options.covariance == Covariance::kLearned) {
    result = denoise(field, x, level, wanted);
    check_mean(options.name, result.mean, wanted.first_row);
    return result;
  }
  at::NoGradGuard no_grad;
  const at::Tensor s1 = field.evaluate(x, level, 1).s1;
  result.mean = x + sigma * sigma * s1;
  check_mean(options.name, result.mean, wanted.first_row);
  if (options.covariance == Covariance::kExact) {
    const score::Jet jet = differentiated(field, x, level, s1, options.copies);
    add_exact(result, Gaussian::from_jet(x, level, jet).scaled(wanted.temperature), options);
  } else if (wanted.num_components > 0) {
    const Components top =
        top_components(field, x, level, {.count = wanted.num_components, .direct = false});
    result.eigenvalues = top.values * wanted.temperature;
    result.components = top.vectors;
    result.eigen_residual = top.residual;
    result.eigen_converged = top.converged;
  }
  return result;
}

// One of all the blocks; a tensor that one of them lacks is undefined.
Posterior join_blocks(const std::vector<Posterior>& blocks) {
  Posterior all;
  for (at::Tensor Posterior::*member : kPosteriorTensors) {
    std::vector<at::Tensor> parts;
    for (const Posterior& block : blocks) {
      if ((block.*member).defined()) parts.push_back(block.*member);
    }
    if (!parts.empty() && parts.size() == blocks.size()) all.*member = at::cat(parts);
  }
  for (const Posterior& block : blocks) {
    all.num_negative_variances += block.num_negative_variances;
    all.num_indefinite += block.num_indefinite;
    all.eigen_residual = std::max(all.eigen_residual, block.eigen_residual);
    all.eigen_converged = all.eigen_converged && block.eigen_converged;
    if (block.negative_part) {
      all.negative_part = std::max(all.negative_part.value_or(0), *block.negative_part);
    }
  }
  return all;
}

}  // namespace

const char* covariance_name(Covariance value) {
  constexpr const char* kNames[] = {"learned", "subspace", "exact"};
  return kNames[static_cast<int>(value)];
}

int64_t exact_bytes(int64_t dim) { return 4 * 4 * dim * dim; }

Posterior posteriors(const score::ScoreField& field, const at::Tensor& x, double sigma,
                     const PosteriorOptions& options, const base::Listener& listener) {
  const int64_t rows = rows_at_once(options, field.dim()), total = x.size(0);
  std::vector<Posterior> blocks;
  listener.on_progress({"denoise", 0, total, 0, ""});
  for (int64_t first = 0; first < total; first += rows) {
    const int64_t count = std::min(rows, total - first);
    PosteriorOptions part = options;
    part.wanted.first_row += first;
    if (part.wanted.clean.defined()) {
      part.wanted.clean = part.wanted.clean.narrow(0, first, count).to(options.device);
    }
    Posterior block =
        posterior_block(field, x.narrow(0, first, count).to(options.device), sigma, part);
    for (at::Tensor Posterior::*member : kPosteriorTensors) {
      if ((block.*member).defined()) block.*member = (block.*member).cpu();
    }
    blocks.push_back(std::move(block));
    listener.on_progress({"denoise", first + count, total, 0, ""});
    if (listener.stopped()) break;
  }
  return join_blocks(blocks);
}

Posterior row_of(const Posterior& posterior, int64_t row) {
  Posterior one;
  for (at::Tensor Posterior::*member : kPosteriorTensors) {
    if ((posterior.*member).defined()) one.*member = (posterior.*member).narrow(0, row, 1);
  }
  return one;
}

}  // namespace scorejet::posterior
