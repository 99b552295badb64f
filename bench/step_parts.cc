#include "bench/step_parts.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include "src/base/seed.h"
#include "src/nets/network.h"
#include "src/objectives/denoising.h"
#include "src/training/draw.h"
#include "src/training/new_model.h"
#include "src/training/step.h"

namespace scorejet::bench {
namespace {

using linalg::SymmetricOperator;

constexpr int64_t kSide = 28, kSamples = 1000;
constexpr double kRate = 1e-3, kAverage = 0.999;

training::RunConfig make_config(const StepSize& size) {
  training::RunConfig config;
  config.model.network.kind = size.network;
  config.model.network.rank = size.rank;
  config.train.batch = size.batch;
  return config;
}

data::Dataset random_bytes() {
  data::Dataset data;
  data.name = "random bytes";
  data.samples =
      at::randint(0, 256, {kSamples, kSide * kSide}, base::make_generator(0, "bench"), at::kByte);
  data.image_shape = {1, kSide, kSide};
  return data;
}

std::unique_ptr<models::ScoreModel> make_model(const training::RunConfig& config,
                                               const data::Dataset& data, at::Device device) {
  auto model = training::make_model(config, data);
  model->to(device);
  return model;
}

}  // namespace

StepParts::StepParts(const StepSize& size, at::Device device)
    : config_(make_config(size)),
      device_(device),
      data_(random_bytes()),
      model_(make_model(config_, data_, device)),
      parameters_(model_->network()),
      adam_(training::make_adam_state(parameters_.values())) {
  draw_batch();
  const at::Tensor noise = batch_.sigma.unsqueeze(-1) * batch_.z;
  points_ = at::cat({batch_.x + noise, batch_.x - noise, batch_.x});
  levels_ = batch_.sigma.repeat({3});
}

StepParts::Outputs StepParts::outputs_at(const at::Tensor& x, const at::Tensor& sigma) const {
  const nets::Features features = model_->features(x, sigma, 2);
  const SymmetricOperator s2 = model_->second_order(features.second, sigma);
  return {model_->first_order(features.first, x, sigma), s2.diagonal_part(), s2.factor()};
}

void StepParts::evaluate() {
  at::NoGradGuard no_grad;
  outputs_at(points_.narrow(0, 0, batch_.x.size(0)), batch_.sigma);
}

training::NoisyBatch StepParts::next_batch() {
  return training::to_device(
      training::draw_batch(config_, data_, number_++, config_.train.batch, "bench"), device_);
}

void StepParts::draw_batch() { batch_ = next_batch(); }

int64_t StepParts::bytes_of_batch() const { return batch_.x.numel() * (1 + 2 * 4); }

void StepParts::forward() { outputs_at(points_, levels_); }

void StepParts::trace() {
  graph_ = outputs_at(points_, levels_);
  held_ = {graph_.s1.detach().requires_grad_(), graph_.diagonal.detach().requires_grad_(),
           graph_.factor.detach().requires_grad_()};
}

void StepParts::differentiate_losses(bool fused) {
  const int64_t size = batch_.x.size(0);
  const auto form = objectives::Form::kCentred;
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(held_.diagonal, held_.factor);
  const at::Tensor first = objectives::score_loss_antithetic(
      held_.s1.narrow(0, 0, size), held_.s1.narrow(0, size, size), batch_.z, batch_.sigma);
  const at::Tensor s1 = held_.s1.detach();
  const at::Tensor second =
      fused ? objectives::hessian_loss_antithetic(form, s1, s2, batch_.z, batch_.sigma)
            : objectives::hessian_loss_antithetic_plain(form, s1, s2, batch_.z, batch_.sigma);
  for (const at::Tensor& leaf : {held_.s1, held_.diagonal, held_.factor}) {
    leaf.mutable_grad() = at::Tensor();
  }
  torch::autograd::backward({(first + second).mean()});
}

void StepParts::losses() { differentiate_losses(true); }

void StepParts::plain_losses() { differentiate_losses(false); }

void StepParts::backward() {
  parameters_.gradients().zero_();
  torch::autograd::backward({graph_.s1, graph_.diagonal, graph_.factor},
                            {held_.s1.grad(), held_.diagonal.grad(), held_.factor.grad()},
                            /*retain_graph=*/true);
}

void StepParts::optimise() {
  const training::FlatParameters::Range all{0, parameters_.size()};
  const at::Tensor norm = training::range_norm(parameters_.gradients(), {all});
  training::adam_step(adam_, parameters_.values(), parameters_.gradients(), kRate, kAverage,
                      {{all, norm.reciprocal().clamp_max(1)}});
}

void StepParts::step() {
  const training::NoisyBatch batch = next_batch();
  std::vector<training::GradientScale> clips;
  training::compute_gradients(*model_, objectives::LossOptions(), batch, parameters_, clips);
  training::adam_step(adam_, parameters_.values(), parameters_.gradients(), kRate, kAverage, clips);
}

}  // namespace scorejet::bench
