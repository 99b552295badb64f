#include <ATen/ATen.h>
#include <fmt/format.h>

#include <memory>

#include "bench/bench.h"
#include "bench/counted_work.h"
#include "bench/step_parts.h"
#include "scorejet/gaussian_mixture.h"
#include "scorejet/kernel.h"
#include "scorejet/posterior.h"
#include "src/base/seed.h"
#include "src/sampling/noise.h"

namespace scorejet::bench {
namespace {

constexpr double kSigma = 0.5;

// Of a case that computes; `counted` has the work, where that is not `run` itself.
void add(std::vector<BenchCase>& cases, const std::string& group, const std::string& name,
         Peak peak, const std::function<void()>& run, const std::function<void()>& counted = {}) {
  cases.push_back({group, name, run, peak, count_flops(counted ? counted : run)});
}

void add_step(std::vector<BenchCase>& cases, const StepSize& size, at::Device device) {
  const auto parts = std::make_shared<StepParts>(size, device);
  const Peak peak = size.network == "unet" ? Peak::kConvolution : Peak::kGemm;
  const std::string group =
      fmt::format("training step, {}, batch {}, rank {}", size.network, size.batch, size.rank);
  cases.push_back({group, "data to batch", [=] { parts->draw_batch(); }, Peak::kCopy,
                   static_cast<double>(parts->bytes_of_batch())});
  add(cases, group, "s1 and s2 forward", peak, [=] { parts->forward(); });
  parts->trace();
  add(
      cases, group, "losses and their gradient", Peak::kGemm, [=] { parts->losses(); },
      [=] { parts->plain_losses(); });
  add(cases, group, "backward", peak, [=] { parts->backward(); });
  cases.push_back({group, "clipping, Adam, average", [=] { parts->optimise(); }, Peak::kCopy,
                   40.0 * static_cast<double>(parts->num_parameters())});
  // Without what its fused losses multiply, which LibTorch is not asked for.
  add(cases, group, "whole step", peak, [=] { parts->step(); });
}

void add_posterior(std::vector<BenchCase>& cases, const std::shared_ptr<StepParts>& parts,
                   const at::Tensor& x) {
  const std::string group = fmt::format("posterior, unet, batch {}, rank 20", x.size(0));
  const models::ScoreModel& model = parts->model();
  const at::Tensor sigma = at::full({}, kSigma, x.options());
  const auto evaluate = [parts, &model, x, sigma](int order) {
    at::NoGradGuard no_grad;
    model.evaluate(x, sigma, order);
  };
  const auto denoise = [parts, &model, x, sigma](int64_t components) {
    posterior::denoise(model, x, sigma, {.num_components = components});
  };
  const Peak peak = Peak::kConvolution;
  add(cases, group, "s1 alone", peak, [=] { evaluate(1); });
  add(cases, group, "s1 and s2", peak, [=] { evaluate(2); });
  add(cases, group, "mean, sd", peak, [=] { denoise(0); });
  add(cases, group, "mean, sd, 5 components", peak, [=] { denoise(5); });
}

// What a kernel's step needs, kept by the case.
struct ChainSetup {
  sampling::Target target;
  sampling::ChainState state;
  at::Tensor step_size;
};

void add_kernel(std::vector<BenchCase>& cases, const std::string& group, Peak peak,
                const sampling::Kernel& kernel, std::shared_ptr<ChainSetup> setup,
                const at::Tensor& x) {
  at::NoGradGuard no_grad;
  setup->state = sampling::init(kernel, setup->target, x);
  setup->step_size = at::full({x.size(0)}, 0.05, x.options());
  add(cases, group, kernel.name, peak, [setup, &kernel] {
    at::NoGradGuard guard;
    const sampling::Noise noise(0, setup->state.x.size(0), 0);
    sampling::step(
        kernel, {setup->target, setup->state, setup->step_size, noise, sampling::KernelOptions()});
  });
}

// Those that need neither log p nor all the eigenvectors of s2.
bool runs_on_network(const sampling::Kernel& kernel) {
  return kernel.adjustment != sampling::Adjustment::kExact && !kernel.takes_eigenvectors;
}

void add_network_kernels(std::vector<BenchCase>& cases, const std::shared_ptr<StepParts>& parts,
                         const at::Tensor& x) {
  const std::string group = fmt::format("a step of kernels on the unet, {} chains", x.size(0));
  for (const sampling::Kernel& kernel : sampling::kernels()) {
    if (!runs_on_network(kernel)) continue;
    auto setup = std::make_shared<ChainSetup>();
    setup->target = {{parts, &parts->model()}, kSigma};
    add_kernel(cases, group, Peak::kConvolution, kernel, setup, x);
  }
}

// A normal of 20 dimensions whose variances span a factor of 100, with some noise.
std::shared_ptr<const distributions::GaussianMixture> bench_normal() {
  const at::Tensor variances = at::logspace(-2, 0, 20, 10.0, at::kDouble);
  return std::make_shared<distributions::GaussianMixture>(at::ones({1}, at::kDouble),
                                                          at::zeros({1, 20}, at::kDouble),
                                                          at::diag(variances).unsqueeze(0));
}

void add_other_kernels(std::vector<BenchCase>& cases) {
  constexpr int64_t kChains = 64;
  constexpr double kNormalSigma = 0.05;
  for (const sampling::Kernel& kernel : sampling::kernels()) {
    if (runs_on_network(kernel)) continue;
    auto setup = std::make_shared<ChainSetup>();
    const auto density = bench_normal();
    setup->target = {density, kNormalSigma};
    const at::Tensor start = density->sample(kChains, base::make_generator(0, "bench chains"));
    const std::string group =
        fmt::format("a step of kernels on a normal of {} dimensions, float64, {} chains",
                    start.size(1), start.size(0));
    add_kernel(cases, group, Peak::kGemm, kernel, setup, start);
  }
}

}  // namespace

std::vector<BenchCase> bench_cases(at::Device device) {
  std::vector<BenchCase> cases;
  add_step(cases, {"unet", 64, 20}, device);
  add_step(cases, {"mlp", 40, 50}, device);
  const auto parts = std::make_shared<StepParts>(StepSize{"unet", 64, 20}, device);
  const at::Tensor x =
      at::rand({64, parts->model().dim()}, base::make_generator(0, "bench images")).to(device);
  add_posterior(cases, parts, x);
  add_network_kernels(cases, parts, x.narrow(0, 0, 16));
  if (device.is_cpu()) add_other_kernels(cases);  // exact densities are the CPU's
  return cases;
}

}  // namespace scorejet::bench
