#include "reproduce/mixing/mixing_chains.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>

#include "reproduce/mixing/mixing_measures.h"
#include "scorejet/chains.h"
#include "scorejet/diagnostics.h"
#include "src/base/noise.h"
#include "src/base/seed.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kReference = 2000;  // test images that chains are compared with
constexpr int64_t kComponents = 8;    // principal components of the features, for the ESS

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }
double mean_of(const at::Tensor& x) { return x.to(at::kDouble).mean().item<double>(); }

// What a position looks like, as the judge is to see it.
at::Tensor tweedie_mean(const at::Tensor& x, const at::Tensor& sigma, const at::Tensor& s1) {
  return at::nan_to_num(x + sigma.square() * s1).clamp(0, 1);
}

at::Tensor squared_norm(const at::Tensor& s1, double sigma) {
  return sigma * sigma * s1.to(at::kDouble).square().mean(-1);
}

// Half of each batch plus noise of one of the levels, denoised.
Distortion denoise_half(const models::ScoreModel& model, const std::vector<double>& sigmas) {
  return [&model, sigmas](const at::Tensor& x, at::Generator generator) {
    const int64_t half = x.size(0) / 2;
    const at::Tensor clean = x.narrow(0, 0, half);
    const at::Tensor level = at::randint(static_cast<int64_t>(sigmas.size()), {half}, generator,
                                         at::TensorOptions(at::kLong));
    const at::Tensor sigma = at::tensor(sigmas).to(x.dtype()).index_select(0, level);  // [half]
    const at::Tensor noise = at::randn(clean.sizes(), generator, x.options());
    const at::Tensor noisy = clean + sigma.unsqueeze(1) * noise;
    const at::Tensor s1 = model.evaluate(noisy, sigma, 1).s1;
    return at::cat(
        {tweedie_mean(noisy, sigma.unsqueeze(1), s1), x.narrow(0, half, x.size(0) - half)});
  };
}

// Different test images for each stream and seed, plus noise.
at::Tensor noisy_images(const data::Dataset& test, const at::Tensor& rows, double sigma,
                        at::Generator generator) {
  return base::add_noise(test.batch(rows), sigma, generator);
}

at::Tensor random_rows(const data::Dataset& test, int64_t count, at::Generator generator) {
  return at::randperm(test.size(), generator, at::TensorOptions(at::kLong)).narrow(0, 0, count);
}

// Denoised noisy test images: what exact draws of p_sigma look like.
struct Reference {
  at::Tensor rows, denoised, score_norm;
  Verdict verdict;
};

Reference make_reference(const MixingArena& arena, double sigma) {
  at::Generator generator = base::make_generator(0, "mixing reference");
  Reference reference;
  reference.rows = random_rows(arena.test, std::min(kReference, arena.test.size()), generator);
  const at::Tensor noisy = noisy_images(arena.test, reference.rows, sigma, generator);
  std::vector<at::Tensor> denoised, norm;
  for (const at::Tensor& x : noisy.split(250)) {
    const at::Tensor s1 = arena.run.model->evaluate(x, sigma, 1).s1;
    denoised.push_back(tweedie_mean(x, at::full({}, sigma), s1));
    norm.push_back(squared_norm(s1, sigma));
  }
  reference.denoised = at::cat(denoised);
  reference.score_norm = at::cat(norm);
  reference.verdict = arena.judge.classify(reference.denoised);
  return reference;
}

double entropy_of(const at::Tensor& labels) {  // [C, N]
  return sampling::occupancy(labels, labels.max().item<int64_t>() + 1).entropy;
}

// Effective sample sizes of the features' leading components.
void add_ess(const at::Tensor& features, const at::Tensor& reference, double evaluations,
             Json& row) {
  const at::Tensor covariance = at::cov(reference.to(at::kDouble).t());
  const int64_t count = std::min(kComponents, covariance.size(0));
  const at::Tensor axes = std::get<1>(at::linalg_eigh(covariance))
                              .narrow(1, covariance.size(0) - count, count);  // ascending
  const sampling::ChainSummary summary =
      sampling::summarise(at::matmul(features.to(at::kDouble), axes));
  row["ess_median"] = number(1000 * summary.ess_bulk.median().item<double>() / evaluations);
  row["ess_least"] = number(1000 * summary.ess_bulk.min().item<double>() / evaluations);
  row["rhat"] = number(summary.rhat.max().item<double>());
}

void add_changes(const ClassChanges& changes, const CourseRequest& request, double seconds,
                 Json& row) {
  const auto chains = static_cast<double>(request.num_chains);
  const double per_chain = 1000 / static_cast<double>(request.num_steps);
  const at::Tensor count = changes.count.to(at::kDouble);
  row["changes_per_1000"] = per_chain * mean_of(count);
  row["changes_error"] = per_chain * count.std().item<double>() / std::sqrt(chains);
  row["changes_per_second"] = count.sum().item<double>() / seconds;
  const at::Tensor unchanged = changes.first < 0;
  const at::Tensor sorted =
      std::get<0>(changes.first.masked_fill(unchanged, std::numeric_limits<int64_t>::max()).sort());
  const auto median = sorted[(request.num_chains - 1) / 2].item<int64_t>();
  row["first_change"] =
      median == std::numeric_limits<int64_t>::max() ? Json() : Json(median * request.thin);
  row["unchanged"] = mean_of(unchanged);
}

}  // namespace

MixingArena open_arena(const MixingPlan& plan, const std::filesystem::path& out) {
  const training::DataConfig& data = plan.model.data;
  data::DatasetSplits splits = data::load_splits(data.name, data.dir, data.validation);
  training::Run run = training::load_run(out / "model", "cpu");
  JudgeOptions options;
  options.steps = plan.judge_steps;
  options.flip = plan.flip;
  options.distort = denoise_half(*run.model, plan.sigmas);
  options.distortion = fmt::format("half denoised at {} levels up to {} by a model of {} steps",
                                   plan.sigmas.size(), plan.sigmas.back(), run.step);
  Judge judge = Judge::train_or_load(splits.train, options, out / "judge.safetensors");
  return {std::move(splits.test), std::move(run), std::move(judge)};
}

Course follow_chains(const MixingArena& arena, const CourseRequest& request) {
  at::NoGradGuard no_grad;
  // The noise of chain c must not depend on how many run beside it.
  const at::Tensor rows = random_rows(arena.test, request.num_chains,
                                      base::make_generator(request.seed, "mixing starts"));
  std::vector<at::Tensor> starts;
  for (int64_t c = 0; c < request.num_chains; ++c) {
    starts.push_back(noisy_images(
        arena.test, rows.narrow(0, c, 1), request.sigma,
        base::make_generator(request.seed, "mixing start noise", static_cast<uint64_t>(c))));
  }
  const double sigma = request.sigma;
  const sampling::Target target{score::borrow(*arena.run.model), sigma};
  const sampling::Kernel& kernel = sampling::find_kernel(request.kernel);
  const sampling::KernelOptions kernel_options{.step_size = request.relative_step * sigma * sigma};
  const sampling::ChainOptions options{.num_steps = request.num_steps,
                                       .warmup = request.warmup,
                                       .thin = request.num_steps,
                                       .seed = request.seed};
  std::vector<at::Tensor> denoised, norm;
  const auto keep = [&](const sampling::Chains& chains) {
    const int64_t step = chains.step - request.warmup;
    if (step < 0 || step % request.thin != 0) return;
    const at::Tensor& s1 = chains.state.jet.s1;
    denoised.push_back(tweedie_mean(chains.state.x, at::full({}, sigma), s1));
    norm.push_back(squared_norm(s1, sigma));
  };
  const at::Tensor x0 = at::cat(starts);
  keep(sampling::start_chains(target, kernel, x0, kernel_options));
  const auto begin = std::chrono::steady_clock::now();
  const sampling::ChainResult result =
      sampling::run_chains(target, kernel, x0, kernel_options, options, keep);
  Course course;
  course.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  course.denoised = at::stack(denoised, 1);
  course.score_norm = at::stack(norm, 1);
  course.num_stopped = (result.chains.stopped_at >= 0).sum().item<int64_t>();
  course.num_bounded = result.chains.num_bounded;
  return course;
}

Json measure_chains(const MixingArena& arena, const CourseRequest& request) {
  at::NoGradGuard no_grad;
  const Course course = follow_chains(arena, request);
  const int64_t chains = request.num_chains, length = course.denoised.size(1);
  const int64_t second = length / 2;  // where the second half begins
  const Verdict verdict = arena.judge.classify(course.denoised.flatten(0, 1));
  const at::Tensor labels = verdict.label.view({chains, length});
  const at::Tensor confidence = verdict.confidence.view({chains, length});
  const at::Tensor features = verdict.features.view({chains, length, -1});
  const auto late = [&](const at::Tensor& x) { return x.narrow(1, second, length - second); };
  const Reference reference = make_reference(arena, request.sigma);
  const auto evaluations = static_cast<double>(chains * request.num_steps);

  Json row;
  add_changes(count_changes(labels, confidence), request, course.seconds, row);
  row["confidence"] = mean_of(late(confidence));
  row["score_norm"] = number(mean_of(late(course.score_norm)));
  row["class_entropy"] = entropy_of(late(labels));
  const at::Tensor flat = late(features).reshape({-1, features.size(2)});
  const int64_t compared = std::min(kReference, flat.size(0));
  const at::Tensor rows =
      at::linspace(0, static_cast<double>(flat.size(0) - 1), compared, at::kDouble).to(at::kLong);
  row["feature_distance"] =
      sampling::energy_distance(flat.index_select(0, rows), reference.verdict.features).coefficient;
  add_ess(features, reference.verdict.features, evaluations, row);
  row["stopped"] = static_cast<double>(course.num_stopped) / static_cast<double>(chains);
  row["bounded"] = static_cast<double>(course.num_bounded) / evaluations;
  return row;
}

Json measure_reference(const MixingArena& arena, double sigma, int64_t num_chains) {
  at::NoGradGuard no_grad;
  const Reference reference = make_reference(arena, sigma);
  const at::Tensor labels = arena.test.labels.index_select(0, reference.rows);
  const at::Tensor& features = reference.verdict.features;
  Json row;
  row["clean_accuracy"] = arena.judge.accuracy(arena.test.batch(reference.rows), labels);
  row["denoised_accuracy"] = mean_of(reference.verdict.label.eq(labels));
  row["confidence"] = mean_of(reference.verdict.confidence);
  row["score_norm"] = mean_of(reference.score_norm);
  row["class_entropy"] = entropy_of(reference.verdict.label.unsqueeze(1));
  row["start_distance"] =
      sampling::energy_distance(features.narrow(0, 0, num_chains),
                                features.narrow(0, num_chains, features.size(0) - num_chains))
          .coefficient;
  return row;
}

}  // namespace scorejet::reproduce
