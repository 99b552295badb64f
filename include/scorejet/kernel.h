// Transition kernels of a Markov chain on a score field: what a chain runs on, what a kernel is,
// and what all of them offer. Add a kernel: a file in src/sampling/kernels/ (templates/kernel.cc is
// one to copy) and its line in kernels/list.cc. Its name is what --kernel takes; its options become
// those of the command; the tests of tests/sampling/conformance_test.cc run over the list.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "scorejet/score_field.h"

namespace scorejet::sampling {

class Noise;      // a step's random numbers (src/sampling/noise.h)
struct Gaussian;  // a proposal (src/sampling/proposal.h)

// What a chain runs on: the density p_sigma, known by its scores and, where it is, by its
// logarithm.
struct Target {
  std::shared_ptr<const score::ScoreField> field;  // gives s1 and s2
  double sigma = 0.0;                              // noise level, >= 0
  // Gives log p_sigma; null: `field` itself does, where it can. Another than `field` where the
  // density is known but chains are to propose by learned scores.
  std::shared_ptr<const score::ScoreField> density = {};

  bool has_log_density() const { return log_source().has_log_density(); }
  // Up to a constant, x [B, D] -> [B].
  at::Tensor log_density(const at::Tensor& x) const;

 private:
  const score::ScoreField& log_source() const { return density ? *density : *field; }
};

using NamedTensors = std::map<std::string, at::Tensor>;  // each [C, ...]

// Where the chains are, and all that a step needs to know there.
struct ChainState {
  at::Tensor x;  // [C, D]
  score::Jet jet;
  at::Tensor log_density;  // [C]; where the kernel needs log p
  NamedTensors derived;    // what a kernel made of the jet: made anew from x at a resume
  NamedTensors carry;      // what x does not tell, as a momentum: saved, and read back
};

// What went wrong at a position that a chain would have moved to.
enum class Fault : int64_t { kNone = 0, kPosition = 1, kScore = 2, kRunaway = 3 };
const char* fault_name(Fault fault);  // "position not finite", "score not finite", "runaway"

struct StepInfo {
  at::Tensor acceptance;        // [C] probability of acceptance; undefined when unadjusted
  at::Tensor fault;             // [C] int64, Fault; undefined when adjusted: there it is rejected
  at::Tensor bounded;           // [C] bool: max-growth was in force; undefined when it cannot be
  int64_t num_evaluations = 1;  // of the score, a chain
  int64_t krylov_steps = 0;     // size of the Krylov space used
  double krylov_error = 0;      // estimated relative error of the matrix functions
};

struct Step {
  ChainState state;
  StepInfo info;
};

// A number that a kernel can be given besides its step size.
struct KernelOption {
  const char* name;  // on the command line, after "--"
  double value;      // where none is given
  double least;      // allowed: least <= value <= most
  double most;
  bool integer;
  const char* help;
  bool expert = false;  // not offered by the command
};

struct KernelOptions {
  double step_size = 0.01;  // ε, in squared units of x; > 0. Where chains start from
  std::map<std::string, double> values = {};  // of the kernel's options; the others their own
};

struct Kernel;

struct StepInput {
  const Target& target;
  const ChainState& state;
  const at::Tensor& step_size;  // ε of each chain, [C]
  const Noise& noise;
  const KernelOptions& options;
};

enum class Adjustment {
  kNone,   // every proposal is taken
  kExact,  // Metropolis and Hastings with log p
  kLine    // the same with log p(x') − log p(x) integrated from s1 and s2 along the line
};

// For which densities and steps a kernel leaves p_sigma as it is. The tests hold it to that.
enum class Exactness {
  kSmallSteps,  // as ε → 0
  kGaussians,   // for every ε where p_sigma is a Gaussian; else as ε → 0
  kDiagonal,    // the same, where its coordinates are independent too
  kLine,        // for every ε, but for the error of the line integral, which falls with its pieces
  kAlways       // for every ε
};

struct Kernel {
  const char* name;
  const char* law;  // one line for people: what it does and costs
  int order = 1;    // of the jet it needs
  Adjustment adjustment = Adjustment::kNone;
  Exactness exactness = Exactness::kSmallSteps;
  double target_acceptance = 0;     // that step-size adaptation aims at; 0 when unadjusted
  bool takes_eigenvectors = false;  // of the whole s2 at every step, O(D³) a chain
  std::vector<KernelOption> options = {};
  const char* evaluations = nullptr;  // the option that counts a step's evaluations; null: one

  Step (*step)(const Kernel& kernel, const StepInput& input) = nullptr;
  // Of a kernel whose step is metropolis() (kernels/moves.h): the Gaussian it proposes by.
  Gaussian (*propose)(const Kernel& kernel, const ChainState& state, const at::Tensor& step_size,
                      const KernelOptions& options) = nullptr;
  // Fills state.derived from state.x and state.jet; null: nothing.
  void (*derive)(ChainState& state) = nullptr;
  // Fills state.carry at a start, from noise that no step draws; null: nothing is carried.
  void (*begin)(ChainState& state, const Noise& noise) = nullptr;
};

// The explicit list, kernels/list.cc.
const std::vector<Kernel>& kernels();
// Errors: std::invalid_argument naming the text and the names that exist.
const Kernel& find_kernel(const std::string& name);

// The value of the kernel's option `name`: the one given, or its own.
double option_value(const Kernel& kernel, const KernelOptions& options, const char* name);
bool has_option(const Kernel& kernel, const std::string& name);
// Those of `values` that the kernel has: one set of values for several kernels.
std::map<std::string, double> its_options(const Kernel& kernel,
                                          const std::map<std::string, double>& values);
// Errors: std::domain_error for a step size that is not positive; std::invalid_argument for an
// option that the kernel lacks, out of its range or with a fraction where it counts.
void check_options(const Kernel& kernel, const KernelOptions& options);
// Score evaluations of a chain in one step.
int64_t evaluations_per_step(const Kernel& kernel, const KernelOptions& options);

// The state at x [C, D]: one evaluation of the score. `carry` is as begin() leaves it for chains
// of this seed. Errors: std::invalid_argument for shapes, a kernel that needs a higher order than
// the field has, or log p where the target has none; std::domain_error for NaN in x.
ChainState init(const Kernel& kernel, const Target& target, const at::Tensor& x, uint64_t seed = 0);

// One transition of every chain.
Step step(const Kernel& kernel, const StepInput& input);

// ε where none was chosen, from σ (docs/guide/sample.md): 0.1 σ² for kernels of first order (no
// curvature of p_sigma lies below −1/σ², so that on a Gaussian no variance of Langevin's is more
// than 1/0.95 too large), 0.2 σ² for the others. Adjusted kernels adapt from there. Errors:
// std::invalid_argument when sigma is 0.
double default_step_size(const Kernel& kernel, double sigma);

// Rows of `first` where mask [C] is true, of `second` elsewhere.
ChainState select_rows(const at::Tensor& mask, const ChainState& first, const ChainState& second);

}  // namespace scorejet::sampling
