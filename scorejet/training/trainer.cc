#include "scorejet/training/trainer.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "scorejet/base/device.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/base/seed.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/training/checkpoint.h"
#include "scorejet/training/loss_bounds.h"
#include "scorejet/training/loss_terms.h"
#include "scorejet/training/run_folder.h"
#include "scorejet/training/settle.h"

namespace scorejet::training {
namespace {

constexpr int64_t kMetricsEvery = 20;        // steps between lines of metrics.jsonl
constexpr int64_t kValidationSamples = 512;  // held-out samples a validation uses

LossOptions loss_options(const RunConfig& config) {
  LossOptions options = config.loss;
  options.sigma_reference = config.noise.largest();
  return options;
}

// Mean losses over a fixed held-out set with fixed noise, by the averaged weights.
class Validator {
 public:
  Validator(const RunConfig& config, const LossOptions& options, const data::Dataset& validation)
      : options_(options) {
    const int64_t count = std::min(validation.size(), kValidationSamples);
    const int64_t size = std::min<int64_t>(count, 128);
    for (int64_t first = 0; first + size <= count; first += size) {
      NoisyBatch batch = draw_batch(config, validation, first, size, "validation");
      batch.x = validation.slice(first, size);
      batches_.push_back(batch);
    }
  }

  StepLosses operator()(const models::ScoreModel& model, at::Device device) const {
    StepLosses mean;
    for (const NoisyBatch& batch : batches_) {
      const StepLosses losses = evaluate_losses(model, options_, to_device(batch, device));
      mean.first += losses.first / static_cast<double>(batches_.size());
      mean.second += losses.second / static_cast<double>(batches_.size());
      mean.third += losses.third / static_cast<double>(batches_.size());
    }
    return mean;
  }

 private:
  LossOptions options_;
  std::vector<NoisyBatch> batches_;
};

std::string sigma_range(const NoisyBatch& batch) {
  return fmt::format("{:.4g}..{:.4g}", batch.sigma.min().item<double>(),
                     batch.sigma.max().item<double>());
}

// The σ to name when a loss is not finite: of the first sample with a bad score, else the range.
// With the weights that the loss was computed with.
std::string describe_sigma(const models::ScoreModel& model, const NoisyBatch& batch) {
  at::NoGradGuard no_grad;
  const at::Tensor x = batch.x + batch.sigma.unsqueeze(-1) * batch.z;
  const at::Tensor bad = at::isfinite(model.evaluate(x, batch.sigma, 1).s1).all(-1).logical_not();
  if (bad.any().item<bool>()) {
    return fmt::format("{:.4g}",
                       batch.sigma[at::nonzero(bad)[0][0].item<int64_t>()].item<double>());
  }
  return sigma_range(batch);
}

std::string loss_text(const StepLosses& losses) {
  if (std::isnan(losses.second)) return fmt::format("s1 {:.4f}", losses.first);
  const std::string two = fmt::format("s1 {:.4f}  s2 {:.4f}", losses.first, losses.second);
  return std::isnan(losses.third) ? two : fmt::format("{}  s3 {:.4f}", two, losses.third);
}

// Losses between two lines of metrics, kept on the device until they are asked for.
class LossLedger {
 public:
  LossLedger(const models::ScoreModel& model, at::Device device)
      : sum_(at::zeros({6}, at::TensorOptions(at::kDouble).device(device))),
        bad_(at::full({7}, -1.0, sum_.options())) {
    // Losses and gradients of every order that the model has.
    std::vector<int64_t> used{0};
    if (model.learns_first()) used.push_back(3);
    if (model.max_order() >= 2) used.insert(used.end(), {1, 4});
    if (model.max_order() >= 3) used.insert(used.end(), {2, 5});
    used_ = at::tensor(used).to(device);
  }

  // values: as compute_gradients returns them.
  void enter(int64_t step, const at::Tensor& values) {
    const at::Tensor finite = at::isfinite(values.index_select(0, used_).sum());
    const at::Tensor entry =
        at::cat({at::full({1}, static_cast<double>(step), values.options()), values});
    bad_ = at::where(finite.logical_or(bad_[0] >= 0), bad_, entry);
    sum_.add_(values);
    last_ = values;
    ++count_;
  }

  // The first step whose losses or gradients were not finite. Waits for the device.
  std::optional<std::pair<int64_t, StepLosses>> first_bad() const {
    const auto step = bad_[0].item<int64_t>();
    if (step < 0) return std::nullopt;
    return std::pair{step, read_losses(bad_.narrow(0, 1, 6))};
  }

  // Mean losses since the last take_mean(), and the last step's gradients. Waits for the device.
  StepLosses mean() const {
    StepLosses mean = read_losses(sum_ / static_cast<double>(count_));
    const StepLosses last = read_losses(last_);
    mean.first_gradient = last.first_gradient;
    mean.second_gradient = last.second_gradient;
    mean.third_gradient = last.third_gradient;
    return mean;
  }
  StepLosses take_mean() {
    const StepLosses taken = mean();
    sum_.zero_();
    count_ = 0;
    return taken;
  }

 private:
  at::Tensor used_;        // which entries there are
  at::Tensor sum_, last_;  // [6]
  at::Tensor bad_;         // step, -1 for none, and its losses
  int64_t count_ = 0;
};

// Off where its control variates have faded out at every σ of the run: the plain loss costs a
// third.
void settle_variance_reduction(RunConfig& config, const models::ScoreModel& model,
                               std::vector<std::string>& notices) {
  if (!config.loss.variance_reduction ||
      reduces_variance(model, loss_options(config), config.noise.sigma)) {
    return;
  }
  config.loss.variance_reduction = false;
  notices.push_back(fmt::format(
      "loss.variance_reduction is false in place of true: noise.sigma = {:g} is not small beside "
      "the data, whose standard deviation is {:.3g} (it fades out up to 0.8 of that)",
      config.noise.sigma, model.data_variance().mean().sqrt().item<double>()));
}

// How far along the range of ln σ each sample lies, in [0, 1], [size]: one in each of `size`
// strata, in random order (quieter than independent draws; after Kingma et al. 2021), and at the
// ends, which are learned from one side only, twice as densely as if uniform.
at::Tensor draw_shares(int64_t size, at::Generator& generator, const at::TensorOptions& options) {
  const at::Tensor strata = at::randperm(size, generator, at::TensorOptions(at::kLong));
  const at::Tensor u = (strata + at::rand({size}, generator, options)) / static_cast<double>(size);
  return 0.5 * (u + at::sin(std::numbers::pi / 2 * u).square());
}

}  // namespace

std::unique_ptr<models::ScoreModel> make_model(const RunConfig& config, const data::Dataset& train,
                                               const GivenFirst& given) {
  models::ScoreModelOptions options = config.model;
  options.given_first = given.name;
  options.network.dim = train.dim();
  options.network.image_shape = train.image_shape;
  const auto [mean, variance] = coordinate_moments(train);
  torch::manual_seed(base::derive_seed(static_cast<uint64_t>(config.train.seed), "weights", 0));
  return std::make_unique<models::ScoreModel>(options, mean, variance, given.field);
}

NoisyBatch draw_batch(const RunConfig& config, const data::Dataset& train, int64_t step,
                      int64_t size, const char* stream) {
  at::Generator generator = base::make_generator(static_cast<uint64_t>(config.train.seed), stream,
                                                 static_cast<uint64_t>(step));
  const at::Tensor rows =
      at::randint(train.size(), {size}, generator, at::TensorOptions(at::kLong));
  NoisyBatch batch;
  batch.x = train.batch(rows);
  batch.z = at::randn(batch.x.sizes(), generator, batch.x.options());
  batch.sigma = at::full({size}, config.noise.sigma, batch.x.options());
  if (config.noise.sigma_max > 0) {
    const double span = std::log(config.noise.sigma_max / config.noise.sigma);
    const at::Tensor share = draw_shares(size, generator, batch.x.options());
    batch.sigma = batch.sigma * (span * share).exp();
  }
  return batch;
}

NoisyBatch to_device(const NoisyBatch& batch, at::Device device) {
  const auto move = [&](const at::Tensor& x) {  // from pinned memory nothing waits for the copy
    return device.is_cuda() ? x.pin_memory().to(device, /*non_blocking=*/true) : x.to(device);
  };
  return {move(batch.x), move(batch.z), move(batch.sigma)};
}

TrainResult train(const RunConfig& given_config, const TrainOptions& options) {
  using Clock = std::chrono::steady_clock;
  RunConfig config = given_config;
  validate(config);
  const at::Device device = base::parse_device(options.device);
  const data::DatasetSplits splits = load_run_data(config);
  std::vector<std::string> notices = settle_defaults(config, splits);
  const GivenFirst given =
      prepare_given_first(config, splits.train, first_order_file(options.out), device);
  const std::unique_ptr<models::ScoreModel> model = make_model(config, splits.train, given);
  RunFolder folder = RunFolder::create(options.out, options.resume);
  model->to(device);
  settle_variance_reduction(config, *model, notices);
  const LossOptions losses_options = loss_options(config);
  const Validator validator(config, losses_options, splits.validation);
  const LossBounds bounds =
      loss_bounds(*model, config.noise.sigma, config.noise.sigma_max, validator(*model, device));
  FlatParameters parameters(model->network());
  TrainingState state;
  if (folder.has_checkpoint()) {
    state = load_checkpoint(folder.checkpoint(), *model, parameters);
  } else {
    state.adam = make_adam_state(parameters.values());
    state.best_first = state.best_second = state.best_third =
        std::numeric_limits<double>::infinity();
  }
  if (given.field) folder.copy_first_order(given.file);
  folder.write_config(to_toml(config));
  folder.rewind_metrics(state.adam.step);

  const at::Tensor swap = at::empty_like(parameters.values());
  const auto validate_now = [&] {  // with the averaged weights in place of the current ones
    swap.copy_(parameters.values());
    at::Tensor(parameters.values()).copy_(state.adam.average);
    const StepLosses losses = validator(*model, device);
    at::Tensor(parameters.values()).copy_(swap);
    const bool better =
        model->learns_first() ? losses.first < state.best_first : losses.second < state.best_second;
    if (better) state.best_step = state.adam.step;
    if (losses.first < state.best_first) state.best_first = losses.first;
    if (losses.second < state.best_second) state.best_second = losses.second;
    if (losses.third < state.best_third) state.best_third = losses.third;
    return losses;
  };

  const double earlier = state.seconds;
  const auto begin = Clock::now();
  const auto elapsed = [&] {
    return earlier + std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const double budget = config.train.max_seconds;
  const auto progress_at = [&](int64_t step) {
    const double by_steps = static_cast<double>(step) / static_cast<double>(config.train.steps);
    return budget > 0 ? std::max(by_steps, elapsed() / budget) : by_steps;
  };
  const auto draw = [&](int64_t step) {
    return draw_batch(config, splits.train, step, config.train.batch, "train");
  };
  base::Progress bar("train", config.train.steps, state.adam.step);
  for (const std::string& notice : notices) bar.message("note: " + notice);
  std::vector<GradientScale> clips;
  LossLedger ledger(*model, device);
  bool stopped = false;
  const LossBounds held_out = held_out_bounds(*model, config.noise.sigma, bounds);
  const auto check_bounds = [&](const StepLosses& losses, const LossBounds& within,
                                const char* where) {
    const auto found = find_violation(within, losses, *model, losses_options);
    if (!found) return;
    base::fail_runtime("training::train",
                       "the loss of s{} must stay within ±{:.3g}; got {:.3g} in {} at step {}; "
                       "last good checkpoint: {}; to mend it {}",
                       found->order, found->bound, found->value, where, state.adam.step,
                       folder.has_checkpoint() ? folder.checkpoint().string() : "none yet",
                       found->advice);
  };
  while (state.adam.step < config.train.steps && progress_at(state.adam.step) < 1 && !stopped) {
    const int64_t step = state.adam.step;
    const NoisyBatch batch = to_device(draw(step), device);
    ledger.enter(step, compute_gradients(*model, losses_options, batch, parameters, clips));
    const auto check_finite = [&](bool updated) {
      const auto bad = ledger.first_bad();
      if (!bad) return;
      const auto& [at_step, losses] = *bad;
      base::fail_runtime("training::train",
                         "the loss must be finite; got s1 {}, s2 {}{} at step {}, sigma {}; last "
                         "good checkpoint: {}",
                         losses.first, losses.second,
                         model->max_order() < 3 ? "" : fmt::format(", s3 {}", losses.third),
                         at_step,
                         updated ? sigma_range(draw(at_step)) : describe_sigma(*model, batch),
                         folder.has_checkpoint() ? folder.checkpoint().string() : "none yet");
    };
    if (device.is_cpu()) check_finite(false);  // elsewhere it would wait for the step
    const double rate =
        scheduled_rate(config.train.learning_rate, step, config.train.warmup, progress_at(step));
    adam_step(state.adam, parameters.values(), parameters.gradients(), rate, config.train.ema,
              clips);

    const int64_t done = state.adam.step;
    stopped = options.stop && options.stop->load();
    const bool last = stopped || done == config.train.steps || progress_at(done) >= 1;
    const bool validating = last || done % config.train.validate_every == 0;
    const bool reporting = validating || done % kMetricsEvery == 0;
    const bool saving = last || done % config.train.checkpoint_every == 0;
    if (!device.is_cpu() && (reporting || saving)) check_finite(true);
    if (reporting) {
      const StepLosses mean = ledger.take_mean();
      StepLosses validation;
      if (validating) validation = validate_now();
      state.seconds = elapsed();
      folder.append_metrics(done, state.seconds, rate, mean, validating ? &validation : nullptr);
      if (budget > 0) {  // the clock may end it sooner: foresee the number of steps
        bar.set_total(static_cast<int64_t>(static_cast<double>(done) / progress_at(done)));
      }
      bar.update(done, loss_text(mean));
      if (validating) {
        bar.message(fmt::format("step {:>6}  {:6.1f} s  validation {}", done, state.seconds,
                                loss_text(validation)));
        check_bounds(validation, held_out, "validation");
      }
      check_bounds(mean, bounds, "training");
    } else if (saving) {
      check_bounds(ledger.mean(), bounds, "training");
    }
    if (saving) {
      state.seconds = elapsed();
      save_checkpoint(folder.checkpoint(), *model, parameters, state);
      folder.write_summary(config, *model, parameters.size(), state, notices);
    }
  }
  TrainResult result;
  result.notice = splits.train.notice;
  result.step = state.adam.step;
  result.seconds = state.seconds;
  result.finished = !stopped;
  return result;
}

}  // namespace scorejet::training
