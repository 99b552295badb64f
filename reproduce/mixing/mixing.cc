#include "reproduce/mixing/mixing.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "reproduce/mixing/mixing_chains.h"
#include "reproduce/mixing/mixing_measures.h"
#include "reproduce/shared/trained_model.h"
#include "reproduce/shared/workers.h"
#include "src/io/atomic_file.h"
#include "src/io/tensor_bridge.h"
#include "src/report/picture_grid.h"
#include "src/report/plot.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;
using Measure = std::function<Json(const MixingArena& arena)>;

// Opened by the first task of each worker process that needs it, not before the fork.
class LazyArena {
 public:
  LazyArena(MixingPlan plan, std::filesystem::path out)
      : plan_(std::move(plan)), out_(std::move(out)) {}
  const MixingArena& get() {
    if (!arena_) arena_.emplace(open_arena(plan_, out_));
    return *arena_;
  }

 private:
  MixingPlan plan_;
  std::filesystem::path out_;
  std::optional<MixingArena> arena_;
};

struct MixingLab {
  MixingPlan plan;
  ReproduceOptions options;
  std::shared_ptr<LazyArena> arena;
  std::string prefix;  // of every key: all that the results depend on

  std::filesystem::path journal() const { return options.out / "journal.jsonl"; }
  Task task(const std::string& key, const Measure& measure) const {
    return {prefix + key, [measure, arena = arena] { return measure(arena->get()); }};
  }
};

// The score model, then the judge: each is needed by all that follows.
MixingLab open_lab(const MixingPlan& plan, const ReproduceOptions& options) {
  const std::string& data = plan.model.data.name;
  const auto folder = options.out / "model";
  const Task train{fmt::format("{} model of {} steps", data, plan.model.train.steps),
                   [=] { return Json(prepare_model(plan.model, folder)); }};
  MixingLab lab{plan, options, std::make_shared<LazyArena>(plan, options.out), ""};
  const Json steps = run_tasks("score model", {train}, lab.journal())[0];
  lab.prefix = fmt::format("{}, model of {} steps, judge of {}, ", data, steps.get<int64_t>(),
                           plan.judge_steps);
  run_tasks("judge", {lab.task("judge", [](const MixingArena&) { return Json(true); })},
            lab.journal());
  return lab;
}

CourseRequest request(const MixingPlan& plan, double sigma, const std::string& kernel,
                      double relative_step, uint64_t seed) {
  return {.kernel = kernel,
          .sigma = sigma,
          .relative_step = relative_step,
          .num_chains = plan.num_chains,
          .num_steps = plan.num_steps,
          .thin = plan.thin,
          .seed = seed};
}

std::string key_of(const CourseRequest& r) {
  return fmt::format("{} chains of {} steps, thin {}, {} sigma {:g} step {:.4g} seed {}",
                     r.num_chains, r.num_steps, r.thin, r.kernel, r.sigma, r.relative_step, r.seed);
}

// The judge and Ozaki's mobility at each noise level; one of them is taken.
Rows survey(const MixingLab& lab) {
  std::vector<Task> tasks;
  for (const double sigma : lab.plan.sigmas) {
    CourseRequest short_run = request(lab.plan, sigma, "ozaki", 0.4, 0);
    short_run.num_steps = lab.plan.survey_steps;
    tasks.push_back(lab.task("survey " + key_of(short_run), [=](const MixingArena& arena) {
      Json row{{"sigma", sigma}};
      row.update(measure_reference(arena, sigma, short_run.num_chains));
      const Json chains = measure_chains(arena, short_run);
      row["ozaki_changes_per_1000"] = chains["changes_per_1000"];
      row["ozaki_unchanged"] = chains["unchanged"];
      return row;
    }));
  }
  Rows rows = run_tasks("noise levels", tasks, lab.journal());
  const size_t chosen = choose_sigma(rows);
  for (size_t i = 0; i < rows.size(); ++i) rows[i]["chosen"] = i == chosen;
  return rows;
}

// Means over seeds, null entries left out; standard errors as those of a mean.
Json average(const std::vector<Json>& results) {
  Json row;
  for (const auto& [key, value] : results[0].items()) {
    std::vector<double> values;
    for (const Json& result : results) {
      if (!result.at(key).is_null()) values.push_back(result.at(key).get<double>());
    }
    const bool error = key == "changes_error";
    if (error) {
      for (double& v : values) v *= v / static_cast<double>(results.size());
    }
    const double mean = spread(values).mean;
    row[key] = values.empty() ? Json() : Json(error ? std::sqrt(mean) : mean);
  }
  return row;
}

// Long runs from where the digits of the start are half forgotten; one row a kernel.
struct LongRun {
  std::string kernel;
  double relative_step;
};

Rows measure_long(const MixingLab& lab, double sigma, const std::vector<LongRun>& runs) {
  std::vector<Task> tasks;
  for (const LongRun& run : runs) {
    for (int64_t seed = 0; seed < lab.options.seeds; ++seed) {
      CourseRequest r =
          request(lab.plan, sigma, run.kernel, run.relative_step, static_cast<uint64_t>(seed));
      r.num_steps = lab.plan.long_steps;
      r.warmup = 100;
      tasks.push_back(lab.task("long " + key_of(r),
                               [r](const MixingArena& arena) { return measure_chains(arena, r); }));
    }
  }
  const std::vector<Json> results = run_tasks("long runs", tasks, lab.journal());
  Rows rows;
  auto first = results.begin();
  for (const LongRun& run : runs) {
    Json row{{"kernel", run.kernel}, {"first_step_over_sigma2", run.relative_step}};
    row.update(average({first, first + lab.options.seeds}));
    row["seeds"] = lab.options.seeds;
    rows.push_back(row);
    first += lab.options.seeds;
  }
  return rows;
}

Rows measure_sigma(const MixingLab& lab, double sigma, const Json& test_images,
                   const Json& stationary) {
  std::vector<Task> tasks;
  for (const std::string& kernel : lab.plan.kernels) {
    for (const double step : lab.plan.relative_steps) {
      for (int64_t seed = 0; seed < lab.options.seeds; ++seed) {
        const CourseRequest r = request(lab.plan, sigma, kernel, step, static_cast<uint64_t>(seed));
        tasks.push_back(lab.task(
            key_of(r), [r](const MixingArena& arena) { return measure_chains(arena, r); }));
      }
    }
  }
  const std::vector<Json> results = run_tasks("chains", tasks, lab.journal());
  Rows rows;
  size_t next = 0;
  for (const std::string& kernel : lab.plan.kernels) {
    for (const double step : lab.plan.relative_steps) {
      const auto first = results.begin() + static_cast<std::ptrdiff_t>(next);
      next += static_cast<size_t>(lab.options.seeds);
      Json row{{"kernel", kernel}, {"step_over_sigma2", step}};
      row.update(average({first, first + lab.options.seeds}));
      judge_quality(row, test_images, stationary);
      row["seeds"] = lab.options.seeds;
      rows.push_back(row);
    }
  }
  return rows;
}

Json ratio(const Json& a, const Json& b) {
  if (a.is_null() || b.is_null() || b.get<double>() == 0) return {};
  return a.get<double>() / b.get<double>();
}

// A kernel's row beside Langevin's at the same or at each one's best step size.
void add_claim(Rows& claims, const std::string& at, const std::string& kernel, const Json* row,
               const Json* langevin) {
  Json claim{{"at", at}, {"kernel", kernel}};
  for (const char* key : {"step_over_sigma2", "changes_per_1000", "changes_error"}) {
    claim[key] = row ? row->at(key) : Json();
  }
  for (const char* key : {"changes_per_1000", "changes_per_second", "ess_median", "ess_least"}) {
    claim[fmt::format("{}_ratio", key)] =
        row && langevin ? ratio(row->at(key), langevin->at(key)) : Json();
  }
  for (const char* key : {"first_change", "unchanged", "confidence", "score_norm", "class_entropy",
                          "feature_distance"}) {
    claim[key] = row ? row->at(key) : Json();
  }
  claims.push_back(claim);
}

Rows judge_mixing(const MixingPlan& plan, const Rows& rows) {
  Rows claims;
  for (const char* verdict : {"good", "strictly_good", "faithful"}) {
    const Json* langevin = best_row(rows, "langevin", verdict);
    for (const std::string& kernel : plan.kernels) {
      add_claim(claims, fmt::format("best, {}", verdict), kernel, best_row(rows, kernel, verdict),
                langevin);
    }
  }
  const size_t steps = plan.relative_steps.size();  // rows: kernels (Langevin first) by steps
  for (size_t i = 0; i < steps; ++i) {
    for (size_t k = 1; k < plan.kernels.size(); ++k) {
      add_claim(claims, "equal", plan.kernels[k], &rows[k * steps + i], &rows[i]);
    }
  }
  return claims;
}

// Changes against the step size: at all, and where the quality is good by each verdict.
void plot_changes(const MixingPlan& plan, const Rows& rows, const std::filesystem::path& path) {
  std::vector<report::Panel> panels;
  for (const char* verdict : {"", "good", "strictly_good", "faithful"}) {
    report::Panel panel;
    for (const std::string& kernel : plan.kernels) {
      report::Series series;
      series.label = kernel;
      series.style = report::SeriesStyle::kMarkedLine;
      for (const Json& row : rows) {
        if (row["kernel"] != kernel || row["stopped"].get<double>() > 0) continue;
        const bool shown = *verdict == '\0' || row[verdict].get<bool>();
        series.x.push_back(row["step_over_sigma2"].get<double>());
        series.y.push_back(shown ? row["changes_per_1000"].get<double>() : std::nan(""));
      }
      panel.series.push_back(series);
    }
    panel.options.title = *verdict == '\0' ? "class changes, every step size without divergence"
                                           : fmt::format("those that are {}", verdict);
    for (char& c : panel.options.title) c = c == '_' ? ' ' : c;
    panel.options.xlabel = "step size / sigma^2";
    panel.options.ylabel = "per 1,000 evaluations";
    panel.options.log_x = true;
    panel.options.key_outside = true;
    panel.options.height = 260;
    panels.push_back(panel);
  }
  const auto result = report::write_panels(path, panels);
  if (!result.written) fmt::print(stderr, "scorejet: note: no plot: {}\n", result.reason);
}

// Langevin | Ozaki from the same starts and noise, one row a chain.
void draw_course(const MixingLab& lab, double sigma, double langevin_step, double ozaki_step,
                 const std::filesystem::path& path) {
  constexpr int64_t kRows = 8, kColumns = 6;
  const MixingArena& arena = lab.arena->get();
  const std::vector<int64_t>& shape = arena.test.image_shape;
  std::vector<report::GridColumn> grid;
  for (const bool ozaki : {false, true}) {
    CourseRequest r = request(lab.plan, sigma, ozaki ? "ozaki" : "langevin",
                              ozaki ? ozaki_step : langevin_step, 0);
    r.num_chains = kRows;
    const Course course = follow_chains(arena, r);
    const int64_t last = course.denoised.size(1) - 1;
    for (int64_t j = 0; j < kColumns; ++j) {
      const int64_t index = j * last / (kColumns - 1);
      report::GridColumn column;
      column.title = fmt::format("{}\nstep {}", r.kernel, index * r.thin);
      column.tiles = io::from_tensor(
          course.denoised.select(1, index).reshape({kRows, shape[0], shape[1], shape[2]}));
      column.range = report::ValueRange{0, 1};
      grid.push_back(std::move(column));
    }
  }
  const std::string title =
      fmt::format("sigma {:g}: langevin, step {:.2g} sigma^2 | ozaki, step {:.2g} sigma^2", sigma,
                  langevin_step, ozaki_step);
  report::write_picture_grid(path, grid, {}, title, {.tile_scale = 2});
}

void draw_courses(const MixingLab& lab, double sigma, const Rows& rows) {
  const Json* langevin = best_row(rows, "langevin", "faithful");
  const Json* ozaki = best_row(rows, "ozaki", "faithful");
  if (!langevin || !ozaki) return;
  const auto step = [](const Json* row) { return row->at("step_over_sigma2").get<double>(); };
  draw_course(lab, sigma, step(langevin), step(langevin), lab.options.out / "course-equal.png");
  draw_course(lab, sigma, step(langevin), step(ozaki), lab.options.out / "course-best.png");
}

void mixing(const MixingPlan& plan, const ReproduceOptions& options) {
  const MixingLab lab = open_lab(plan, options);
  const Rows sigmas = survey(lab);
  const Json& test_images = *std::find_if(
      sigmas.begin(), sigmas.end(), [](const Json& row) { return row["chosen"].get<bool>(); });
  const auto sigma = test_images["sigma"].get<double>();
  // Its stationary density is the learned one whatever the step size: Ozaki proposals, accepted by
  // the difference of log p that the learned scores give.
  std::vector<LongRun> runs{{"line-ozaki-diagonal", 0.5}};
  const Json stationary = measure_long(lab, sigma, runs)[0];
  const Rows rows = measure_sigma(lab, sigma, test_images, stationary);
  runs.push_back({"line-mala", 0.1});  // Langevin proposals, accepted likewise
  for (const std::string& kernel : plan.kernels) {
    const Json* best = best_row(rows, kernel, "faithful");
    if (best) runs.push_back({kernel, best->at("step_over_sigma2").get<double>()});
  }
  const Rows long_rows = measure_long(lab, sigma, runs);
  const Rows claims = judge_mixing(plan, rows);
  write_table(options.out / "sigmas", sigmas);
  write_table(options.out / "long", long_rows);
  write_table(options.out / "table", rows);
  write_table(options.out / "claims", claims);
  const std::vector<std::pair<const char*, const Rows*>> sections{
      {"Denoised noisy test images at each noise level", &sigmas},
      {"Against Langevin", &claims},
      {"Long runs: adjusted chains, and each kernel at its best faithful step", &long_rows},
      {"All step sizes", &rows}};
  std::string text;
  for (const auto& [title, table] : sections) {
    text.append(fmt::format("# {}\n\n{}\n", title, markdown_table(*table)));
  }
  io::write_file(options.out / "table.md", text);
  plot_changes(plan, rows, options.out / "changes.png");
  draw_courses(lab, sigma, rows);
  fmt::print("{}\n{}\n", markdown_table(claims), (options.out / "table.md").string());
}

// Write table.{csv,json,md}, claims.{csv,json}, sigmas.{csv,json}, long.{csv,json},
// changes.png, course-equal.png and course-best.png; beside them model/ (an incomplete model there
// is trained on), judge.safetensors and journal.jsonl, from which an interrupted run goes on. The
// data are read from data/.
void mixing_mnist(const ReproduceOptions& options) { mixing(mnist_plan(options.fast), options); }

void mixing_cifar10(const ReproduceOptions& options) {
  mixing(cifar10_plan(options.fast), options);
}

}  // namespace

Experiment mixing_mnist_experiment() {
  return {"mixing-mnist", "how often chains of digits change class, Langevin against Ozaki",
          mixing_mnist};
}

Experiment mixing_cifar10_experiment() {
  return {"mixing-cifar10", "the same of photographs, at the noise level that works",
          mixing_cifar10};
}

}  // namespace scorejet::reproduce
