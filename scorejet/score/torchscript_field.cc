#include "scorejet/score/torchscript_field.h"

#include <ATen/ATen.h>
#include <torch/script.h>

#include <fmt/ranges.h>

#include "scorejet/base/check.h"

namespace scorejet::score {
namespace {

constexpr const char* kWhere = "score::TorchScriptField";

// The first line of a long message with a C++ stack behind it.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

struct TorchScriptField::Module {
  mutable torch::jit::Module network;
};

Prediction parse_prediction(const std::string& text) {
  if (text == "score") return Prediction::kScore;
  if (text == "clean") return Prediction::kClean;
  if (text == "noise") return Prediction::kNoise;
  base::fail_argument("score::parse_prediction",
                      "prediction must be score, clean or noise; got \"{}\"", text);
}

TorchScriptField::TorchScriptField(const std::filesystem::path& file,
                                   const TorchScriptOptions& options)
    : module_(std::make_unique<Module>()),
      file_(file.string()),
      predicts_(options.predicts),
      sample_shape_(options.sample_shape.vec()) {
  for (const int64_t size : sample_shape_) dim_ *= size;
  if (!std::filesystem::exists(file)) base::fail_runtime(kWhere, "{}: no such file", file_);
  try {
    module_->network = torch::jit::load(file_);
  } catch (const c10::Error& error) {
    base::fail_runtime(kWhere, "{} must be a TorchScript file: {}", file_,
                       first_line(error.what_without_backtrace()));
  }
  module_->network.eval();
  for (at::Tensor parameter : module_->network.parameters()) parameter.requires_grad_(false);
  const auto method = module_->network.find_method("forward");
  const size_t arguments = method ? method->function().getSchema().arguments().size() - 1 : 0;
  if (arguments != 1 && arguments != 2) {
    base::fail_argument(kWhere, "{} must have forward(x) or forward(x, sigma); got {} arguments",
                        file_, arguments);
  }
  takes_sigma_ = arguments == 2;
}

TorchScriptField::~TorchScriptField() = default;

Jet TorchScriptField::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  base::check_shape(kWhere, "x", x, {-1, dim_});
  if (order > max_order()) {
    base::fail_argument(kWhere, "order must be 1 (AutodiffField gives the second); got {}", order);
  }
  base::check_finite(kWhere, "x", x);
  const at::Tensor noise = broadcast_sigma(kWhere, x, sigma);
  std::vector<int64_t> shape{x.size(0)};
  shape.insert(shape.end(), sample_shape_.begin(), sample_shape_.end());
  std::vector<torch::jit::IValue> arguments{x.view(shape)};
  if (takes_sigma_) arguments.emplace_back(noise);
  at::Tensor output;
  try {
    const torch::jit::IValue value = module_->network.forward(arguments);
    if (value.isTensor()) output = value.toTensor();
  } catch (const std::exception& error) {
    base::fail_runtime(kWhere, "{} failed on x {}: {}", file_, fmt::join(shape, " x "),
                       first_line(error.what()));
  }
  if (!output.defined() || output.numel() != x.numel() || output.size(0) != x.size(0)) {
    base::fail_argument(
        kWhere, "{} must return a tensor of x's shape [{}]; got {}", file_, fmt::join(shape, ", "),
        output.defined() ? fmt::format("[{}]", fmt::join(output.sizes(), ", ")) : "something else");
  }
  output = output.reshape(x.sizes());
  const at::Tensor column = noise.unsqueeze(-1);
  switch (predicts_) {
    case Prediction::kClean:
      return {(output - x) / column.square()};
    case Prediction::kNoise:
      return {-output / column};
    case Prediction::kScore:
      break;
  }
  return {output};
}

}  // namespace scorejet::score
