#include "scorejet/nets/network.h"

#include <ATen/ATen.h>

#include "scorejet/base/error.h"
#include "scorejet/nets/mlp.h"
#include "scorejet/nets/unet.h"

namespace scorejet::nets {
namespace {

constexpr const char* kWhere = "nets::make_network";

void check_positive(const char* name, int64_t value) {
  if (value < 1) base::fail_argument(kWhere, "model.{} must be at least 1; got {}", name, value);
}

}  // namespace

void zero_parameters(torch::nn::Module& module) {
  at::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters()) parameter.zero_();
}

std::string resolve_kind(const NetworkOptions& options) {
  if (options.kind != "auto") return options.kind;
  return options.image_shape.empty() ? "mlp" : "unet";
}

int64_t image_stride(const NetworkOptions& options) {
  return options.patch << (options.levels - 1);
}

std::shared_ptr<Network> Network::resized(int64_t height, int64_t width) const {
  base::fail_argument("nets::resized",
                      "another image size than the trained one needs a convolutional network "
                      "(unet); got an mlp and {} x {}",
                      height, width);
}

std::shared_ptr<Network> make_network(const NetworkOptions& options) {
  check_positive("dim", options.dim);
  if (options.hessian == Hessian::kLowRank) {
    check_positive("rank", options.rank);
    if (options.rank > options.dim) {
      base::fail_argument(kWhere, "model.rank must be at most D = {}; got {}", options.dim,
                          options.rank);
    }
  }
  if (options.third != Third::kNone && options.hessian == Hessian::kNone) {
    base::fail_argument(kWhere,
                        "model.s3 needs a model.s2, whose errors it is centred by; got none");
  }
  if (options.third == Third::kLowRank) check_positive("s3_rank", options.third_rank);
  if (!options.first && options.hessian == Hessian::kNone) {
    base::fail_argument(kWhere, "model.s2 must not be none where s1 is given: nothing is learned");
  }
  const std::string kind = resolve_kind(options);
  if (kind == "mlp") {
    check_positive("width", options.width);
    check_positive("depth", options.depth);
    return std::make_shared<Mlp>(options);
  }
  if (kind == "unet") {
    check_positive("channels", options.channels);
    check_positive("blocks", options.blocks);
    check_positive("levels", options.levels);
    check_positive("patch", options.patch);
    constexpr int64_t kMaxLevels = 16;
    if (options.levels > kMaxLevels) {
      base::fail_argument(kWhere, "model.levels must be at most {}; got {}", kMaxLevels,
                          options.levels);
    }
    if (options.image_shape.size() != 3) {
      base::fail_argument(kWhere, "a unet needs images; got vectors of {} numbers (use mlp)",
                          options.dim);
    }
    if (options.hessian == Hessian::kFull || options.third == Third::kFull) {
      base::fail_argument(kWhere, "model.{} = \"full\" needs an mlp; got unet",
                          options.hessian == Hessian::kFull ? "s2" : "s3");
    }
    const int64_t stride = image_stride(options);
    if (options.image_shape[1] % stride != 0 || options.image_shape[2] % stride != 0) {
      base::fail_argument(kWhere,
                          "image height and width must be multiples of patch * 2^(levels-1) = {}; "
                          "got {} x {}",
                          stride, options.image_shape[1], options.image_shape[2]);
    }
    return std::make_shared<UNet>(options);
  }
  base::fail_argument(kWhere,
                      "model.network must be auto, mlp or unet; got \"{}\" (nearest: \"{}\")", kind,
                      base::nearest(kind, {"auto", "mlp", "unet"}));
}

}  // namespace scorejet::nets
