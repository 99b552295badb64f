// A network of scorejet's own, trained in memory, and the causal order of a table.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "python/src/bindings.h"
#include "scorejet/causal_order.h"
#include "scorejet/score_model.h"
#include "src/base/check.h"
#include "src/base/error.h"
#include "src/nets/network.h"
#include "src/training/fit.h"

namespace scorejet::python {
namespace {

using models::ScoreModel;
using Settings = std::map<std::string, std::string>;

// Sets those of `known` that `given` names, as text. Errors: std::invalid_argument for a name that
// there is not (and the nearest) and a value that it cannot have.
void apply_settings(base::Settings known, const Settings& given) {
  std::vector<std::string> names;
  for (const base::Setting& setting : known) names.push_back(setting.key);
  for (const auto& [key, text] : given) {
    const auto found = std::find(names.begin(), names.end(), key);
    if (found == names.end()) {
      const std::string near = base::nearest(key, names);
      base::fail_argument("scorejet.train", "{} must be a setting{}; got \"{}\"", key,
                          near.empty() ? "" : " (nearest: " + near + ")", text);
    }
    base::Setting& setting = known[static_cast<size_t>(found - names.begin())];
    if (!setting.set(text)) {
      base::fail_argument("scorejet.train", "{} must be {}; got \"{}\"", key,
                          setting.requirement().empty() ? setting.type() : setting.requirement(),
                          text);
    }
    setting.check("scorejet.train");
  }
}

std::shared_ptr<ScoreModel> make_model(const Settings& settings, int64_t dim,
                                       std::vector<int64_t> image_shape, const at::Tensor& mean,
                                       const at::Tensor& variance, uint64_t seed) {
  models::ScoreModelOptions options;
  apply_settings(options.settings(), settings);
  options.network.dim = dim;
  options.network.image_shape = std::move(image_shape);
  at::manual_seed(static_cast<uint64_t>(seed));
  return std::make_shared<ScoreModel>(options, mean, variance);
}

struct FitRequest {
  double sigma;
  int64_t steps, batch;
  double learning_rate;
  uint64_t seed;
};

// One thread while it lives: a step of an MLP is too small to share, and beside other work threads
// that wait for each other cost many times what they save. The results do not depend on it.
class OneThread {
 public:
  explicit OneThread(bool wanted) : before_(at::get_num_threads()), wanted_(wanted) {
    if (wanted_) at::set_num_threads(1);
  }
  ~OneThread() {
    if (wanted_) at::set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
  bool wanted_;
};

// Trains on the rows of x [N, D], drawn with replacement.
void fit_rows(ScoreModel& model, const at::Tensor& x, const FitRequest& request,
              const Settings& loss, const std::function<void(int64_t)>& on_step) {
  const OneThread guard(model.options().network.image_shape.empty());
  training::FitOptions options;
  apply_settings(options.loss.settings(), loss);
  options.sigma = request.sigma;
  options.steps = request.steps;
  options.batch = request.batch;
  options.learning_rate = request.learning_rate;
  options.seed = request.seed;
  int64_t done = 0;
  options.on_step = [&] {
    ++done;
    check_signals();
    if (!on_step) return;
    const py::gil_scoped_acquire gil;
    on_step(done);
  };
  const auto draw = [&](int64_t batch, at::Generator generator) {
    return x.index_select(0, at::randint(x.size(0), {batch}, generator, at::kLong));
  };
  training::fit(model, draw, options);
}

std::map<std::string, at::Tensor> weights_of(const ScoreModel& model) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : model.network().named_parameters()) {
    weights.emplace(item.key(), item.value().detach().clone());
  }
  return weights;
}

Settings describe(const ScoreModel& model) {
  models::ScoreModelOptions options = model.options();
  Settings described;
  for (const base::Setting& setting : options.settings()) {
    described.emplace(setting.key, setting.text());
  }
  return described;
}

py::list settings_table() {
  models::ScoreModelOptions model;
  objectives::LossOptions loss;
  py::list table;
  for (base::Settings list : {model.settings(), loss.settings()}) {
    for (const base::Setting& setting : list) {
      table.append(
          py::make_tuple(setting.key, setting.text(), setting.requirement(), setting.help));
    }
  }
  return table;
}

}  // namespace

void bind_training(py::module_& module) {
  py::class_<ScoreModel, score::ScoreField, std::shared_ptr<ScoreModel>>(module, "ScoreModel")
      .def(py::init(&make_model), py::arg("settings"), py::arg("dim"), py::arg("image_shape"),
           py::arg("mean"), py::arg("variance"), py::arg("seed"))
      .def("weights", &weights_of)
      .def("describe", &describe)
      .def_property_readonly("data_mean", &ScoreModel::data_mean)
      .def_property_readonly("data_variance", &ScoreModel::data_variance);
  module.def(
      "fit",
      [](ScoreModel& model, const at::Tensor& x, double sigma, int64_t steps, int64_t batch,
         double learning_rate, uint64_t seed, const Settings& loss,
         const std::function<void(int64_t)>& on_step) {
        fit_rows(model, x, {sigma, steps, batch, learning_rate, seed}, loss, on_step);
      },
      py::arg("model"), py::arg("x"), py::arg("sigma"), py::arg("steps"), py::arg("batch"),
      py::arg("learning_rate"), py::arg("seed"), py::arg("loss"), py::arg("on_step"), Released());
  module.def("settings", &settings_table);
  module.def(
      "causal_order",
      [](const at::Tensor& x, const std::vector<std::string>& names, double sigma, int64_t networks,
         int64_t steps, int64_t later_steps, uint64_t seed,
         const std::function<void(int64_t, int64_t)>& on_step) {
        causal::OrderOptions options{sigma, networks, steps, later_steps, seed};
        options.on_step = [&](int64_t done, int64_t total) {
          const py::gil_scoped_acquire gil;
          on_step(done, total);
        };
        const causal::CausalOrder found = causal::causal_order(x, names, options);
        std::vector<std::tuple<std::vector<int64_t>, std::vector<double>, int64_t, double>> stages;
        for (const causal::Stage& stage : found.stages) {
          stages.emplace_back(stage.present, stage.variances, stage.leaf, stage.gap);
        }
        return std::make_pair(found.order, stages);
      },
      py::arg("x"), py::arg("names"), py::arg("sigma"), py::arg("networks"), py::arg("steps"),
      py::arg("later_steps"), py::arg("seed"), py::arg("on_step"), Released());
}

}  // namespace scorejet::python
