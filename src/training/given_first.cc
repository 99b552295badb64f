#include "src/training/given_first.h"

#include <ATen/ATen.h>

#include "src/data/sources.h"
#include "src/objectives/denoising.h"

namespace scorejet::training {

GivenFirst open_given_first(const std::filesystem::path& file, score::Prediction predicts,
                            const std::vector<int64_t>& sample_shape, at::Device device) {
  const score::TorchScriptOptions options{
      .predicts = predicts, .sample_shape = sample_shape, .device = device};
  GivenFirst result;
  result.field = std::make_shared<score::TorchScriptField>(file, options);
  result.name = fmt::format("{} {}", score::prediction_name(predicts), data::file_md5(file));
  result.file = file;
  return result;
}

GivenFirst prepare_given_first(const RunConfig& config, const data::Dataset& train,
                               const std::filesystem::path& copy, at::Device device) {
  std::filesystem::path file = config.s1.from;
  if (file.empty()) return {};
  if (!std::filesystem::exists(file) && std::filesystem::exists(copy)) file = copy;
  const std::vector<int64_t> shape =
      train.is_image() ? train.image_shape : std::vector<int64_t>{train.dim()};
  GivenFirst given = open_given_first(file, config.s1.predicts, shape, device);
  const at::Tensor x = train.slice(0, std::min<int64_t>(2, train.size())).to(device);
  const bool differentiated = config.loss.uses_jacobian();
  for (const double sigma : {config.noise.sigma, config.noise.sigma_max}) {
    if (sigma > 0) given.field->probe(x, sigma, differentiated);
  }
  return given;
}

}  // namespace scorejet::training
