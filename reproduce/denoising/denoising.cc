#include "reproduce/denoising/denoising.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "reproduce/denoising/denoising_cost.h"
#include "reproduce/denoising/denoising_measures.h"
#include "reproduce/denoising/denoising_methods.h"
#include "reproduce/denoising/denoising_pictures.h"
#include "reproduce/shared/trained_model.h"
#include "reproduce/shared/workers.h"
#include "scorejet/calibration.h"
#include "scorejet/dataset.h"
#include "src/base/noise.h"
#include "src/io/atomic_file.h"
#include "src/training/run_folder.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kMain = "model";
constexpr int64_t kSubspaceComponents = 20;

struct DenoisingLab {
  DenoisingPlan plan;
  ReproduceOptions options;
  std::map<std::string, int64_t> steps;  // of each model

  std::filesystem::path journal() const { return options.out / "journal.jsonl"; }
  std::string key(const std::string& model, const std::string& what) const {
    return fmt::format("{}, {} of {} steps, {} images: {}", plan.model.data.name, model,
                       steps.at(model), plan.num_images, what);
  }
};

// What a task needs, loaded in its own process.
struct DenoisingSetup {
  training::Run run;
  data::DatasetSplits splits;
  at::Tensor clean, counted;
  std::vector<int64_t> shape;

  at::Tensor noisy(double sigma) const {
    return base::add_row_noise(clean, sigma, 0, posterior::kCalibrationNoise);
  }
};

DenoisingSetup open_arena(const DenoisingLab& lab, const std::string& model, int64_t images) {
  const training::DataConfig& data = lab.plan.model.data;
  DenoisingSetup arena{training::load_run(lab.options.out / model, "cpu"),
                       data::load_splits(data.name, data.dir, data.validation),
                       {},
                       {},
                       {}};
  arena.clean = arena.splits.test.slice(0, std::min(images, arena.splits.test.size()));
  arena.counted = data::varying_coordinates(arena.splits.train);
  arena.shape = arena.splits.train.image_shape;
  return arena;
}

Json row_of_measures(const DenoisingSetup& arena, const Posterior& posteriors,
                     const at::Tensor& clean) {
  return measure_posteriors(posteriors, clean, arena.counted, arena.shape);
}

std::vector<double> mean_spectrum(const Posterior& posteriors) {
  const at::Tensor mean = posteriors.eigenvalues.mean(0).to(at::kDouble).contiguous();
  return {mean.data_ptr<double>(), mean.data_ptr<double>() + mean.numel()};
}

Task direct_task(const DenoisingLab& lab, const std::string& model, double sigma) {
  return {lab.key(model, fmt::format("direct at sigma {:g}", sigma)), [=] {
            const DenoisingSetup arena = open_arena(lab, model, lab.plan.num_images);
            const Posterior posteriors = direct_posteriors(
                *arena.run.model, arena.clean, arena.noisy(sigma), sigma, lab.plan.num_components);
            return Json{{"row", row_of_measures(arena, posteriors, arena.clean)},
                        {"spectrum", mean_spectrum(posteriors)}};
          }};
}

// The Jacobian of the main model's s1 on a few images, and its direct s2 on the same.
Task jacobian_task(const DenoisingLab& lab, double sigma) {
  return {
      lab.key(kMain, fmt::format("Jacobian of {} at sigma {:g}", lab.plan.num_jacobian, sigma)),
      [=] {
        const DenoisingSetup arena = open_arena(lab, kMain, lab.plan.num_jacobian);
        const at::Tensor noisy = arena.noisy(sigma);
        const int64_t k = lab.plan.num_components;
        const Posterior jacobian =
            jacobian_posteriors(*arena.run.model, arena.clean, noisy, sigma, k);
        const Posterior direct = direct_posteriors(*arena.run.model, arena.clean, noisy, sigma, k);
        Json agreement = measure_agreement(direct, jacobian, arena.counted);
        const Json row = row_of_measures(arena, jacobian, arena.clean);
        const Json own = row_of_measures(arena, direct, arena.clean);
        for (const char* energy : {"energy_1", "energy_5", "energy_20", "energy_50"}) {
          agreement[fmt::format("{}_direct", energy)] = own[energy];
          agreement[fmt::format("{}_jacobian", energy)] = row[energy];
        }
        agreement["indefinite"] = jacobian.num_indefinite;
        return Json{{"row", row}, {"agreement", agreement}, {"spectrum", mean_spectrum(jacobian)}};
      }};
}

Task subspace_task(const DenoisingLab& lab, double sigma) {
  return {lab.key(kMain, fmt::format("subspace iteration on {} at sigma {:g}",
                                     lab.plan.num_jacobian, sigma)),
          [=] {
            const DenoisingSetup arena = open_arena(lab, kMain, lab.plan.num_jacobian);
            const Posterior posteriors = subspace_posteriors(*arena.run.model, arena.noisy(sigma),
                                                             sigma, kSubspaceComponents);
            return Json{{"row", row_of_measures(arena, posteriors, arena.clean)}};
          }};
}

Task pca_task(const DenoisingLab& lab, double sigma) {
  return {lab.key(kMain,
                  fmt::format("PCA of {} residuals at sigma {:g}", lab.plan.num_residuals, sigma)),
          [=] {
            const DenoisingSetup arena = open_arena(lab, kMain, lab.plan.num_images);
            const at::Tensor train = arena.splits.train.slice(
                0, std::min(lab.plan.num_residuals, arena.splits.train.size()));
            const at::Tensor residuals =
                train -
                denoised_means(*arena.run.model,
                               base::add_row_noise(train, sigma, 2, posterior::kCalibrationNoise),
                               sigma);
            const Posterior posteriors =
                pca_posteriors(*arena.run.model, arena.clean, arena.noisy(sigma), sigma, residuals,
                               lab.plan.num_components);
            return Json{{"row", row_of_measures(arena, posteriors, arena.clean)}};
          }};
}

// Coverage and distances, raw and corrected on held-out training images. A pixel that is almost
// surely one value is inside any interval that contains it: `uncertain` are those that the model
// gives a standard deviation above a twentieth of the range.
Task calibration_task(const DenoisingLab& lab, double sigma) {
  return {lab.key(kMain,
                  fmt::format("calibration on {} at sigma {:g}", lab.plan.num_calibration, sigma)),
          [=] {
            const DenoisingSetup arena = open_arena(lab, kMain, lab.plan.num_calibration);
            const at::Tensor held_out = arena.splits.validation.slice(
                0, std::min(lab.plan.num_calibration, arena.splits.validation.size()));
            const posterior::CalibrateOptions options{.levels = {0.5, 0.8, 0.9, 0.95},
                                                      .counted = arena.counted};
            const posterior::Calibration measured =
                posterior::calibrate(*arena.run.model, held_out, arena.clean, sigma, options);
            const posterior::CalibrationSummary& raw = measured.record.raw;
            const posterior::CalibrationSummary& corrected = measured.record.calibrated;
            const double width = posterior::gaussian_widths(options.levels)[2];
            const at::Tensor sd =
                direct_posteriors(*arena.run.model, arena.clean, arena.noisy(sigma), sigma, 0)
                    .variance.sqrt();
            const at::Tensor uncertain = (sd > 0.05).logical_and(arena.counted);
            Json row{{"sigma", sigma},
                     {"images", arena.clean.size(0)},
                     {"temperature", measured.record.fitted.temperature}};
            row["coverage_90"] = raw.coverage[2];
            row["coverage_90_calibrated"] = corrected.coverage[2];
            row["uncertain_share"] = uncertain.to(at::kDouble).sum().item<double>() /
                                     static_cast<double>(sd.size(0)) /
                                     arena.counted.to(at::kDouble).sum().item<double>();
            row["uncertain_coverage_90"] = (measured.test.z.masked_select(uncertain).abs() <= width)
                                               .to(at::kDouble)
                                               .mean()
                                               .item<double>();
            row["components_90"] = raw.component_coverage[2];
            row["components_90_calibrated"] = corrected.component_coverage[2];
            row["mahalanobis"] = raw.mahalanobis_mean;
            row["mahalanobis_sd"] = raw.mahalanobis_sd;
            row["mahalanobis_calibrated"] = corrected.mahalanobis_mean;
            row["sharpness"] = raw.sharpness;
            row["nll"] = raw.log_loss;
            row["nll_calibrated"] = corrected.log_loss;
            return row;
          }};
}

// All models that have every sigma, the main one first.
std::vector<const SideModel*> conditioned(const DenoisingPlan& plan) {
  std::vector<const SideModel*> models;
  for (const SideModel& side : plan.sides) {
    if (side.conditioned) models.push_back(&side);
  }
  return models;
}

Task cost_task(const DenoisingLab& lab) {
  return {lab.key(kMain, "cost"), [=] {
            Json costs;
            const double sigma = lab.plan.sigmas[0];
            const auto rows = [&](const std::string& model, bool direct_only) {
              const DenoisingSetup arena = open_arena(lab, model, 8);
              return measure_cost(*arena.run.model, arena.noisy(sigma), sigma, direct_only);
            };
            costs[kMain] = rows(kMain, false);
            for (const SideModel* side : conditioned(lab.plan)) {
              costs[side->name] = rows(side->name, true);
            }
            return costs;
          }};
}

void train_models(DenoisingLab& lab) {
  std::vector<std::pair<std::string, training::RunConfig>> models{{kMain, lab.plan.model}};
  for (const SideModel& side : lab.plan.sides) models.emplace_back(side.name, side.config);
  std::vector<Task> tasks;
  for (const auto& [name, config] : models) {
    tasks.push_back({fmt::format("{} {} of {} steps", config.data.name, name, config.train.steps),
                     [config = config, folder = lab.options.out / name] {
                       return Json(prepare_model(config, folder));
                     }});
  }
  const std::vector<Json> steps = run_tasks("models", tasks, lab.journal());
  for (size_t i = 0; i < models.size(); ++i) {
    lab.steps[models[i].first] = steps[i].get<int64_t>();
  }
}

struct Results {
  Rows table, agreement, calibration, conditioning, cost;
  std::vector<Spectrum> spectra;
};

// A row of the table: its label, the way's name in cost.csv, and the task.
struct DenoisingEntry {
  double sigma;
  std::string method, model, way;
  Task task;
};

constexpr const char* kDirectWay = "direct s2: mean, sd, 5 components";

std::vector<DenoisingEntry> entries_of(const DenoisingLab& lab) {
  const DenoisingPlan& plan = lab.plan;
  std::vector<DenoisingEntry> entries;
  for (const double sigma : plan.sigmas) {
    entries.push_back({sigma, fmt::format("direct s2, rank {}", plan.model.model.network.rank),
                       kMain, kDirectWay, direct_task(lab, kMain, sigma)});
    for (const SideModel& side : plan.sides) {
      if (!side.conditioned && side.config.noise.sigma != sigma) continue;
      const std::string structure = side.config.model.network.s2 == nets::Structure::kDiagonal
                                        ? "diagonal"
                                        : fmt::format("rank {}", side.config.model.network.rank);
      const char* note = !side.conditioned        ? ", this sigma alone"
                         : side.name == plan.twin ? ", their twin"
                                                  : "";
      entries.push_back({sigma, fmt::format("direct s2, {}{}", structure, note), side.name,
                         kDirectWay, direct_task(lab, side.name, sigma)});
    }
    entries.push_back({sigma, "Jacobian of s1", kMain, "s1: whole Jacobian, 5 components",
                       jacobian_task(lab, sigma)});
    entries.push_back({sigma, "subspace iteration on s1", kMain,
                       "s1: 5 components, subspace iteration", subspace_task(lab, sigma)});
    entries.push_back({sigma, "PCA of residuals", kMain, "s1", pca_task(lab, sigma)});
    entries.push_back({sigma, "", kMain, "", calibration_task(lab, sigma)});
  }
  return entries;
}

Json table_row(const DenoisingLab& lab, const DenoisingEntry& entry, const Json& result,
               const Json& costs) {
  Json row{{"sigma", entry.sigma}, {"method", entry.method}, {"steps", lab.steps.at(entry.model)}};
  row.update(result["row"]);
  row["seconds"] = row["peak_mb"] = Json();
  if (costs.contains(entry.model)) {
    for (const Json& cost : costs[entry.model]) {
      if (cost["way"] != entry.way) continue;
      row["seconds"] = cost["seconds"];
      row["peak_mb"] = cost["peak_mb"];
    }
  }
  return row;
}

using PsnrOf = std::map<std::pair<double, std::string>, double>;  // of a sigma and a model

// One model of all sigma against one for each.
Rows conditioning_rows(const DenoisingLab& lab, const PsnrOf& psnr) {
  const DenoisingPlan& plan = lab.plan;
  Rows rows;
  if (plan.twin.empty()) return rows;
  for (const double sigma : plan.sigmas) {
    const std::string single = fmt::format("sigma{:g}", sigma);
    const double one = psnr.at({sigma, plan.twin}), alone = psnr.at({sigma, single});
    rows.push_back({{"sigma", sigma},
                    {"steps", lab.steps.at(single)},
                    {"psnr_sigma_alone", alone},
                    {"psnr_conditioned", one},
                    {"loss_db", alone - one},
                    {"main_steps", lab.steps.at(kMain)},
                    {"psnr_main", psnr.at({sigma, kMain})}});
  }
  return rows;
}

Results measure_all(const DenoisingLab& lab) {
  const std::vector<DenoisingEntry> entries = entries_of(lab);
  std::vector<Task> tasks;
  for (const DenoisingEntry& entry : entries) tasks.push_back(entry.task);
  const std::vector<Json> results = run_tasks("measures", tasks, lab.journal());
  const Json costs = run_tasks("cost", {cost_task(lab)}, lab.journal())[0];

  Results all;
  for (const Json& row : costs[kMain]) all.cost.push_back(row);
  PsnrOf psnr;
  for (size_t i = 0; i < entries.size(); ++i) {
    const DenoisingEntry& entry = entries[i];
    const Json& result = results[i];
    if (entry.method.empty()) {
      all.calibration.push_back(result);
      continue;
    }
    const Json row = table_row(lab, entry, result, costs);
    all.table.push_back(row);
    if (entry.way == kDirectWay) psnr[{entry.sigma, entry.model}] = row["psnr"].get<double>();
    if (result.contains("agreement")) {
      Json agreement{{"sigma", entry.sigma}, {"images", result["row"]["images"]}};
      agreement.update(result["agreement"]);
      all.agreement.push_back(agreement);
    }
    const bool shown = entry.model == kMain && result.contains("spectrum");
    if (shown) {
      all.spectra.push_back(
          {entry.sigma, entry.method, result["spectrum"].get<std::vector<double>>()});
    }
  }
  all.conditioning = conditioning_rows(lab, psnr);
  return all;
}

void draw(const DenoisingLab& lab, const std::vector<Spectrum>& spectra) {
  constexpr int64_t kRows = 8, kWalks = 3;
  const DenoisingSetup arena = open_arena(lab, kMain, kRows);
  for (const double sigma : lab.plan.sigmas) {
    const at::Tensor noisy = arena.noisy(sigma);
    const Posterior posteriors = direct_posteriors(*arena.run.model, arena.clean, noisy, sigma, 5);
    draw_denoised(lab.options.out / fmt::format("denoised-{:g}.png", sigma), posteriors,
                  arena.clean, noisy, arena.shape, sigma);
    Posterior few;
    few.mean = posteriors.mean.narrow(0, 0, kWalks);
    few.eigenvalues = posteriors.eigenvalues.narrow(0, 0, kWalks);
    few.components = posteriors.components.narrow(0, 0, kWalks);
    draw_walk(lab.options.out / fmt::format("walk-{:g}.png", sigma), few, arena.shape, sigma);
  }
  draw_spectra(lab.options.out / "spectra.png", spectra);
}

void denoising(const DenoisingPlan& plan, const ReproduceOptions& options) {
  DenoisingLab lab{plan, options, {}};
  train_models(lab);
  const Results results = measure_all(lab);
  std::string text;
  const std::vector<std::tuple<const char*, const char*, const Rows*>> sections{
      {"table", "Posteriors of noisy test images", &results.table},
      {"agreement", "The main model's components against those of its Jacobian",
       &results.agreement},
      {"calibration", "Intervals and distances, raw and calibrated", &results.calibration},
      {"conditioning", "One model of all sigma against one for each", &results.conditioning},
      {"cost", "Seconds and memory an image, one thread", &results.cost}};
  for (const auto& [file, title, rows] : sections) {
    if (rows->empty()) continue;
    if (std::string(file) != "table") write_table(options.out / file, *rows);
    text.append(fmt::format("# {}\n\n{}\n", title, markdown_table(*rows)));
  }
  write_table(options.out / "table", results.table);
  io::write_file(options.out / "table.md", text);
  draw(lab, results.spectra);
  fmt::print("{}{}\n", text, (options.out / "table.md").string());
}

// Write table.{csv,json,md}, agreement.{csv,json} (the direct components against the Jacobian's),
// calibration.{csv,json}, conditioning.{csv,json} (where the plan has a twin), cost.{csv,json},
// spectra.png and for each sigma denoised-SIGMA.png and walk-SIGMA.png; beside them the runs
// (model/ and one a side model; an incomplete one is trained on) and journal.jsonl, from which an
// interrupted experiment goes on. The data are read from data/.
void denoise_mnist(const ReproduceOptions& options) {
  denoising(denoise_mnist_plan(options.fast), options);
}

void denoise_cifar10(const ReproduceOptions& options) {
  denoising(denoise_cifar10_plan(options.fast), options);
}

}  // namespace

Experiment denoise_mnist_experiment() {
  return {"denoise-mnist", "error bars and components of denoised digits, direct s2 and its rivals",
          denoise_mnist, /*repeats=*/false};
}

Experiment denoise_cifar10_experiment() {
  return {"denoise-cifar10", "the same of photographs", denoise_cifar10, /*repeats=*/false};
}

}  // namespace scorejet::reproduce
