#include "scorejet/torchscript_field.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include <algorithm>
#include <optional>

#include "src/base/check.h"

namespace scorejet::score {
namespace {

constexpr const char* kWhere = "score::TorchScriptField";

// What went wrong, out of a message with a trace around it: TorchScript says it last, c10 first.
std::string reason(const std::string& text) {
  constexpr std::string_view kMark = "\nRuntimeError: ";
  const size_t mark = text.rfind(kMark);
  const std::string last = mark == std::string::npos ? text : text.substr(mark + kMark.size());
  return last.substr(0, last.find('\n'));
}

std::string shape_text(at::IntArrayRef shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// The sizes after the first, without those of one: what [B, 1, H, W] and [B, H, W] share.
std::vector<int64_t> sample_sizes(at::IntArrayRef shape) {
  std::vector<int64_t> sizes(shape.begin() + 1, shape.end());
  sizes.erase(std::remove(sizes.begin(), sizes.end(), 1), sizes.end());
  return sizes;
}

// The largest difference of two outputs, relative to their size.
double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double size = std::max(a.abs().max().item<double>(), 1e-30);
  return (a - b).abs().max().item<double>() / size;
}

void check_finite_output(const std::string& file, const at::Tensor& output, double sigma) {
  const at::Tensor bad = at::isfinite(output).logical_not();
  if (!bad.any().item<bool>()) return;
  const at::Tensor place = at::nonzero(bad)[0];
  const auto row = place[0].item<int64_t>(), coordinate = place[1].item<int64_t>();
  base::fail_domain(kWhere,
                    "{} must return finite numbers; got {} at row {}, coordinate {}, sigma {:g}",
                    file, output[row][coordinate].item<double>(), row, coordinate, sigma);
}

}  // namespace

struct TorchScriptField::Module {
  mutable torch::jit::Module network;
  std::optional<at::ScalarType> type = {};  // of the parameters; none: that of x

  // Freezes it, and takes on the type of its first parameter; float16 lacks half its kernels on a
  // CPU.
  void freeze() {
    network.eval();
    std::vector<at::Tensor> state;
    for (const at::Tensor& parameter : network.parameters()) state.push_back(parameter);
    for (const at::Tensor& buffer : network.buffers()) state.push_back(buffer);
    for (at::Tensor& tensor : state) {
      tensor.requires_grad_(false);
      if (!tensor.is_floating_point()) continue;
      const bool half = tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
      if (half) tensor.set_data(tensor.to(at::kFloat));
      if (!type) type = tensor.scalar_type();
    }
  }
};

const char* prediction_name(Prediction value) {
  return value == Prediction::kScore ? "score" : value == Prediction::kClean ? "clean" : "noise";
}

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
  if (!std::filesystem::is_regular_file(file))
    base::fail_runtime(kWhere, "{}: no such file", file_);
  try {
    module_->network = torch::jit::load(file_, options.device);
  } catch (const c10::Error& error) {
    base::fail_runtime(kWhere, "{} must be a TorchScript file (torch.jit.script or trace): {}",
                       file_, reason(error.what_without_backtrace()));
  }
  const auto method = module_->network.find_method("forward");
  const size_t arguments = method ? method->function().getSchema().arguments().size() - 1 : 0;
  if (arguments != 1 && arguments != 2) {
    base::fail_argument(kWhere, "{} must have forward(x) or forward(x, sigma); got {} arguments",
                        file_, arguments);
  }
  takes_sigma_ = arguments == 2;
  module_->freeze();
}

TorchScriptField::~TorchScriptField() = default;

// The network's output, [B, D], of x's element type.
at::Tensor TorchScriptField::run(const at::Tensor& x, const at::Tensor& sigma) const {
  std::vector<int64_t> shape{x.size(0)};
  shape.insert(shape.end(), sample_shape_.begin(), sample_shape_.end());
  const at::ScalarType type = module_->type.value_or(x.scalar_type());
  // Copies: a network may work in place.
  std::vector<torch::jit::IValue> arguments{x.reshape(shape).to(type, false, /*copy=*/true)};
  if (takes_sigma_) arguments.emplace_back(sigma.to(type, false, true).contiguous());
  torch::jit::IValue value;
  try {
    const torch::jit::GraphOptimizerEnabledGuard as_written(false);
    value = module_->network.forward(arguments);
  } catch (const std::exception& error) {
    base::fail_runtime(kWhere, "{} failed on x {}: {}", file_, shape_text(shape),
                       reason(error.what()));
  }
  if (!value.isTensor()) {
    base::fail_argument(kWhere, "{} must return one tensor of x's shape {}; got a {}", file_,
                        shape_text(shape), value.type()->repr_str());
  }
  const at::Tensor output = value.toTensor();
  const bool flat = output.sizes() == x.sizes();
  if (!flat && (output.dim() < 1 || output.size(0) != x.size(0) ||
                sample_sizes(output.sizes()) != sample_sizes(shape))) {
    base::fail_argument(kWhere, "{} must return a tensor of x's shape {}; got {}", file_,
                        shape_text(shape), shape_text(output.sizes()));
  }
  if (!output.is_floating_point()) {
    base::fail_argument(kWhere, "{} must return real numbers; got a tensor of {}", file_,
                        at::toString(output.scalar_type()));
  }
  return output.reshape(x.sizes()).to(x.scalar_type());
}

Jet TorchScriptField::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  base::check_shape(kWhere, "x", x, {-1, dim_});
  if (order > max_order()) {
    base::fail_argument(kWhere, "order must be 1 (AutodiffField gives the second); got {}", order);
  }
  base::check_finite(kWhere, "x", x);
  const at::Tensor noise = broadcast_sigma(kWhere, x, sigma);
  const at::Tensor output = run(x, noise);
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

void TorchScriptField::probe(const at::Tensor& x, double sigma, bool differentiable) const {
  constexpr double kTolerance = 1e-3;  // kernels round differently for one row and for two
  base::check_shape(kWhere, "x", x, {-1, dim_});
  base::check_finite(kWhere, "x", x);
  base::check_positive(kWhere, "sigma", sigma);
  at::NoGradGuard no_grad;
  const at::Tensor two = x.size(0) > 1 ? x.narrow(0, 0, 2) : at::cat({x, 0.5 * x});
  const at::Tensor levels = at::full({2}, sigma, x.options());
  const at::Tensor output = run(two, levels);
  check_finite_output(file_, output.narrow(0, 0, std::min<int64_t>(2, x.size(0))), sigma);
  const double again = relative_difference(output, run(two, levels));
  if (again > kTolerance) {
    base::fail_argument(
        kWhere,
        "{} must give the same output for the same x; got two that differ by {:.2g} "
        "of their size (a dropout that evaluation mode does not stop?)",
        file_, again);
  }
  const at::Tensor alone = run(two.narrow(0, 0, 1), levels.narrow(0, 0, 1));
  const double apart = relative_difference(output.narrow(0, 0, 1), alone);
  if (apart > kTolerance) {
    base::fail_argument(kWhere,
                        "{} must treat each row of a batch alone; got a row that differs by {:.2g} "
                        "of its size beside another (a batch norm that evaluation mode does not "
                        "stop?)",
                        file_, apart);
  }
  if (!differentiable) return;
  at::AutoGradMode enabled(true);
  if (!run(two.detach().requires_grad_(), levels).requires_grad()) {
    base::fail_argument(
        kWhere,
        "{} must be differentiable in x, which a covariance of its s1 needs; got an "
        "output without graph (detach, no_grad or a frozen mkldnn graph inside?)",
        file_);
  }
}

}  // namespace scorejet::score
