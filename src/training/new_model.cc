#include "src/training/new_model.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "src/base/seed.h"
#include "src/training/run_folder.h"

namespace scorejet::training {

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

}  // namespace scorejet::training
