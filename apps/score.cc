// scorejet score RUN POINTS.npy: options; the work is tasks/score.cc.
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "scorejet/tasks.h"

void scorejet::apps::add_score(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "score",
      "Scores at points: s1; s2 as s2 (dense), s2_diagonal, or s2_a and s2_b with "
      "s2 = diag(a) + b b^T; s3 as s3 (dense), s3_diagonal, or s3_c, s3_gamma and s3_w with "
      "s3 = sum_j gamma_j w_j^3 + diag3(c).\n\nExample:\n"
      "  scorejet score runs/toy points.npy --sigma 0.1 --order 2 --structure dense --out s.npz");
  auto o = std::make_shared<tasks::ScoreOptions>();
  command->add_option("run", o->run, "run folder")->required();
  command->add_option("points", o->points, "NPY, NPZ or CSV, rows are points")->required();
  command->add_option("--sigma", o->sigma, "noise level, > 0")->required();
  command->add_option("--order", o->order, "1, 2 or 3")->capture_default_str();
  command->add_option("--structure", o->structure,
                      "dense, diagonal, low_rank; default: the model's");
  command->add_option("--direction", o->direction,
                      "NPY of v, [D] or [N, D]: s3[v, v] as s3_vv and s3[v, v, v] as s3_vvv, in "
                      "place of s3");
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "NPZ to write")->required();
  command->callback([o] {
    if (tasks::score(*o, interruptible_listener()).empty()) {
      throw Interrupted("interrupted; nothing was written");
    }
    fmt::print("{}\n", o->out.string());
  });
}
