#include "scorejet/run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "src/base/device.h"
#include "src/base/error.h"
#include "src/nets/network.h"
#include "src/training/checkpoint.h"
#include "src/training/draw.h"
#include "src/training/given_first.h"
#include "src/training/loss_bounds.h"
#include "src/training/loss_ledger.h"
#include "src/training/loss_terms.h"
#include "src/training/new_model.h"
#include "src/training/run_folder.h"
#include "src/training/settle.h"
#include "src/training/step.h"

namespace scorejet::training {
namespace {

constexpr int64_t kMetricsEvery = 20;        // steps between lines of metrics.jsonl
constexpr int64_t kValidationSamples = 512;  // held-out samples a validation uses

objectives::LossOptions loss_options(const RunConfig& config) {
  objectives::LossOptions options = config.loss;
  options.sigma_reference = config.noise.largest();
  return options;
}

// Mean losses over a fixed held-out set with fixed noise, by the averaged weights.
class Validator {
 public:
  Validator(const RunConfig& config, const objectives::LossOptions& options,
            const data::Dataset& validation)
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
  objectives::LossOptions options_;
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

RunConfig validated(const RunConfig& config) {
  validate(config);
  return config;
}

// A run in its folder: draw, step, report, validate, save, until the steps or the clock are out or
// the listener asks to stop. Nothing is written before all of the configuration is known to do.
class Trainer {
 public:
  Trainer(const RunConfig& config, const TrainOptions& options);
  TrainResult run();

 private:
  // What is to be done after a step.
  struct Due {
    bool report, validate, save;
  };

  objectives::LossOptions settle_losses();  // also moves the model to the device
  TrainingState open_folder();
  NoisyBatch draw(int64_t step) const;
  double step();  // returns the learning rate
  Due due(bool last) const;
  StepLosses validate_average();
  void report(double rate, bool validating);
  void save();
  void tell(const std::string& details, const std::string& milestone) const;
  void check_finite(const NoisyBatch* batch) const;
  void check_bounds(const StepLosses& losses, const LossBounds& within, const char* where) const;

  int64_t steps_done() const { return state_.adam.step; }
  double elapsed() const;         // seconds in training, over all sessions
  double share_done() const;      // 0 to 1, of the steps or of the clock's budget
  std::string last_good() const;  // checkpoint, for an error

  using Clock = std::chrono::steady_clock;
  RunConfig config_;  // what is in force
  base::Listener listener_;
  at::Device device_;
  data::DatasetSplits splits_;
  std::vector<std::string> notices_;
  GivenFirst given_;
  std::unique_ptr<models::ScoreModel> model_;
  RunFolder folder_;
  objectives::LossOptions loss_;
  Validator validator_;
  LossBounds bounds_, held_out_bounds_;
  FlatParameters parameters_;
  TrainingState state_;
  at::Tensor swap_;  // the current weights, while the averaged ones are in their place
  std::vector<GradientScale> clips_;
  LossLedger ledger_;
  double earlier_ = 0;  // seconds before this session
  int64_t start_ = 0;   // step at which this session began
  Clock::time_point begin_;
};

Trainer::Trainer(const RunConfig& config, const TrainOptions& options)
    : config_(validated(config)),
      listener_(options.listener),
      device_(base::parse_device(options.device)),
      splits_(load_run_data(config_)),
      notices_(settle_defaults(config_, splits_)),
      given_(prepare_given_first(config_, splits_.train, first_order_file(options.out), device_)),
      model_(make_model(config_, splits_.train, given_)),
      folder_(RunFolder::create(options.out, options.resume)),
      loss_(settle_losses()),
      validator_(config_, loss_, splits_.validation),
      bounds_(loss_bounds(*model_, config_.noise.sigma, config_.noise.sigma_max,
                          validator_(*model_, device_))),
      held_out_bounds_(held_out_bounds(*model_, config_.noise.sigma, bounds_)),
      parameters_(model_->network()),
      state_(open_folder()),
      swap_(at::empty_like(parameters_.values())),
      ledger_(*model_, device_),
      earlier_(state_.seconds),
      start_(state_.adam.step),
      begin_(Clock::now()) {}

objectives::LossOptions Trainer::settle_losses() {
  model_->to(device_);
  settle_variance_reduction(config_, *model_, notices_);
  return loss_options(config_);
}

TrainingState Trainer::open_folder() {
  TrainingState state;
  if (folder_.has_checkpoint()) {
    state = load_checkpoint(folder_.checkpoint(), *model_, parameters_);
  } else {
    state.adam = make_adam_state(parameters_.values());
    state.best_first = state.best_second = state.best_third =
        std::numeric_limits<double>::infinity();
  }
  if (given_.field) folder_.copy_first_order(given_.file);
  folder_.write_config(to_toml(config_));
  folder_.rewind_metrics(state.adam.step);
  return state;
}

TrainResult Trainer::run() {
  for (const std::string& notice : notices_) listener_.on_notice(notice);
  if (steps_done() < config_.train.steps) tell("", "");
  bool stopped = false;
  while (steps_done() < config_.train.steps && share_done() < 1 && !stopped) {
    const double rate = step();
    stopped = listener_.stopped();
    const Due now = due(stopped || steps_done() == config_.train.steps || share_done() >= 1);
    if (!device_.is_cpu() && (now.report || now.save)) check_finite(nullptr);
    if (now.report) {
      report(rate, now.validate);
    } else if (now.save) {
      check_bounds(ledger_.mean(), bounds_, "training");
    }
    if (now.save) save();
  }
  TrainResult result;
  result.notice = splits_.train.notice;
  result.step = steps_done();
  result.seconds = state_.seconds;
  result.finished = !stopped;
  return result;
}

NoisyBatch Trainer::draw(int64_t step) const {
  return draw_batch(config_, splits_.train, step, config_.train.batch, "train");
}

double Trainer::step() {
  const int64_t step = steps_done();
  const NoisyBatch batch = to_device(draw(step), device_);
  ledger_.enter(step, compute_gradients(*model_, loss_, batch, parameters_, clips_));
  if (device_.is_cpu()) check_finite(&batch);  // elsewhere it would wait for the step
  const double rate =
      scheduled_rate(config_.train.learning_rate, step, config_.train.warmup, share_done());
  adam_step(state_.adam, parameters_.values(), parameters_.gradients(), rate, config_.train.ema,
            clips_);
  return rate;
}

Trainer::Due Trainer::due(bool last) const {
  const auto every = [&](int64_t steps) { return last || steps_done() % steps == 0; };
  const bool validating = every(config_.train.validate_every);
  return {validating || every(kMetricsEvery), validating, every(config_.train.checkpoint_every)};
}

// With the averaged weights in place of the current ones.
StepLosses Trainer::validate_average() {
  swap_.copy_(parameters_.values());
  at::Tensor(parameters_.values()).copy_(state_.adam.average);
  const StepLosses losses = validator_(*model_, device_);
  at::Tensor(parameters_.values()).copy_(swap_);
  const bool better = model_->learns_first() ? losses.first < state_.best_first
                                             : losses.second < state_.best_second;
  if (better) state_.best_step = steps_done();
  if (losses.first < state_.best_first) state_.best_first = losses.first;
  if (losses.second < state_.best_second) state_.best_second = losses.second;
  if (losses.third < state_.best_third) state_.best_third = losses.third;
  return losses;
}

void Trainer::report(double rate, bool validating) {
  const StepLosses mean = ledger_.take_mean();
  StepLosses validation;
  if (validating) validation = validate_average();
  state_.seconds = elapsed();
  folder_.append_metrics(steps_done(), state_.seconds, rate, mean,
                         validating ? &validation : nullptr);
  tell(loss_text(mean), validating
                            ? fmt::format("step {:>6}  {:6.1f} s  validation {}", steps_done(),
                                          state_.seconds, loss_text(validation))
                            : "");
  if (validating) check_bounds(validation, held_out_bounds_, "validation");
  check_bounds(mean, bounds_, "training");
}

void Trainer::save() {
  state_.seconds = elapsed();
  save_checkpoint(folder_.checkpoint(), *model_, parameters_, state_);
  folder_.write_summary(config_, *model_, parameters_.size(), state_, notices_);
}

void Trainer::tell(const std::string& details, const std::string& milestone) const {
  int64_t total = config_.train.steps;
  if (config_.train.max_seconds > 0 && steps_done() > start_) {
    // The clock may end it sooner: foresee the number of steps.
    total = static_cast<int64_t>(static_cast<double>(steps_done()) / share_done());
  }
  listener_.on_progress({"train", steps_done(), total, start_, details, milestone});
}

double Trainer::elapsed() const {
  return earlier_ + std::chrono::duration<double>(Clock::now() - begin_).count();
}

double Trainer::share_done() const {
  const double by_steps =
      static_cast<double>(steps_done()) / static_cast<double>(config_.train.steps);
  const double budget = config_.train.max_seconds;
  return budget > 0 ? std::max(by_steps, elapsed() / budget) : by_steps;
}

std::string Trainer::last_good() const {
  return folder_.has_checkpoint() ? folder_.checkpoint().string() : "none yet";
}

// `batch`: that of the losses entered last, while the weights are still those that they were
// computed with; null afterwards.
void Trainer::check_finite(const NoisyBatch* batch) const {
  const auto bad = ledger_.first_bad();
  if (!bad) return;
  const auto& [step, losses] = *bad;
  base::fail_runtime("training::train",
                     "the loss must be finite; got s1 {}, s2 {}{} at step {}, sigma {}; last "
                     "good checkpoint: {}",
                     losses.first, losses.second,
                     model_->max_order() < 3 ? "" : fmt::format(", s3 {}", losses.third), step,
                     batch ? describe_sigma(*model_, *batch) : sigma_range(draw(step)),
                     last_good());
}

void Trainer::check_bounds(const StepLosses& losses, const LossBounds& within,
                           const char* where) const {
  const auto found = find_violation(within, losses, *model_, loss_);
  if (!found) return;
  base::fail_runtime("training::train",
                     "the loss of s{} must stay within ±{:.3g}; got {:.3g} in {} at step {}; "
                     "last good checkpoint: {}; to mend it {}",
                     found->order, found->bound, found->value, where, steps_done(), last_good(),
                     found->advice);
}

}  // namespace

TrainResult train(const RunConfig& config, const TrainOptions& options) {
  return Trainer(config, options).run();
}

}  // namespace scorejet::training
