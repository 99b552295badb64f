// Scores at points of a user's, to one file: what `scorejet score` does. Add an array in score.cc.
#pragma once

#include <filesystem>
#include <string>

#include "src/base/listener.h"
#include "src/io/npz.h"

namespace scorejet::tasks {

struct ScoreOptions {
  std::filesystem::path run;     // folder
  std::filesystem::path points;  // NPY, NPZ or CSV, rows are points
  std::filesystem::path out;     // NPZ to write
  std::string structure = {};    // of s2 and s3: dense, diagonal, low_rank; empty: the model's
  std::string direction = {};    // NPY of v, [D] or [N, D]: s3[v, v] and s3[v, v, v] in place of s3
  std::string device = "auto";   // auto, cpu, cuda or cuda:N
  double sigma = 0;              // noise level, > 0
  int order = 2;                 // 1, 2 or 3
};

// Writes s1; s2 as s2 (dense), s2_diagonal, or s2_a and s2_b; s3 as s3, s3_diagonal, or s3_c,
// s3_gamma and s3_w, or s3_vv and s3_vvv of a direction (docs/formats.md); returns what it wrote.
// Notices: a guess in reading the points; a sigma that the run was not trained for.
// Errors: std::invalid_argument naming the option; std::runtime_error naming the file.
io::NamedArrays score(const ScoreOptions& options, const base::Listener& listener = {});

}  // namespace scorejet::tasks
