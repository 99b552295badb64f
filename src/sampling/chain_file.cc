#include "scorejet/chains.h"

#include <ATen/ATen.h>

#include <chrono>

#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"

namespace scorejet::sampling {
namespace {

namespace fs = std::filesystem;
constexpr const char* kWhere = "sampling::stream_chains";

// The tensors of `chains` that are saved and read back, by name: one list for both ways. What the
// kernel carries stands in it as it does in the state.
std::vector<std::pair<std::string, at::Tensor*>> saved(Chains& chains) {
  std::vector<std::pair<std::string, at::Tensor*>> result{
      {"x", &chains.state.x},
      {"first_step", &chains.adaptation.first_step},
      {"step_size", &chains.adaptation.step_size},
      {"log_averaged", &chains.adaptation.log_averaged},
      {"statistic", &chains.adaptation.statistic},
      {"reach", &chains.reach},
      {"stopped_at", &chains.stopped_at},
      {"stop_reason", &chains.stop_reason},
      {"acceptance_sum", &chains.acceptance_sum}};
  for (auto& [name, tensor] : chains.state.carry) result.emplace_back("carry_" + name, &tensor);
  return result;
}

std::vector<int64_t*> counters(Chains& chains) {
  return {&chains.step, &chains.adaptation.count, &chains.num_bounded, &chains.max_krylov_steps,
          &chains.num_evaluations};
}

class Segments {
 public:
  explicit Segments(fs::path folder) : folder_(std::move(folder)) {}

  // Continues the folder's run or begins it. Returns whether there is a state to go on from.
  bool open(const StreamOptions& stream) {
    const fs::path description = folder_ / "description.txt";
    if (!fs::exists(description)) {  // nothing, or the ruin of a start
      fs::remove_all(folder_);
      io::make_writable_directory(folder_);
      io::write_file(description, stream.description);
      return false;
    }
    if (!stream.resume) {
      base::fail_runtime(kWhere, "{} holds an unfinished run: resume it, or remove it",
                         folder_.string());
    }
    const std::string found = io::read_text(description);
    if (found != stream.description && found != stream.older_description) {
      base::fail_runtime(kWhere, "{} must hold this run to be resumed: {}; it holds {}",
                         folder_.string(), stream.description, found);
    }
    while (fs::exists(path(count_))) ++count_;
    return count_ > 0;
  }

  void load_state(Chains& chains, double& seconds) const {
    const io::NamedArrays arrays = io::read_npz(path(count_ - 1));
    for (const auto& [name, tensor] : saved(chains)) {
      if (arrays.contains(name)) {
        *tensor = io::to_tensor(arrays.at(name));
      } else if (tensor->defined()) {
        base::fail_runtime(kWhere, "{} must hold an array called {}; it has none",
                           path(count_ - 1).string(), name);
      }
    }
    const at::Tensor counts = io::to_tensor(arrays.at("counters"));
    int64_t index = 0;
    for (int64_t* counter : counters(chains)) *counter = counts[index++].item<int64_t>();
    seconds = io::to_tensor(arrays.at("seconds")).item<double>();
  }

  // The positions kept since the last call, and the state after them.
  void save(Chains& chains, std::vector<at::Tensor>& kept, std::vector<int64_t>& steps,
            double seconds) {
    io::NamedArrays arrays;
    for (const auto& [name, tensor] : saved(chains)) {
      if (tensor->defined()) arrays.emplace(name, io::from_tensor(*tensor));
    }
    std::vector<int64_t> counts;
    for (const int64_t* counter : counters(chains)) counts.push_back(*counter);
    const at::TensorOptions integer(at::kLong);
    arrays.emplace("counters", io::from_tensor(at::tensor(counts, integer)));
    arrays.emplace("seconds", io::from_tensor(at::full({1}, seconds, at::kDouble)));
    if (!kept.empty()) {
      arrays.emplace("positions", io::from_tensor(at::stack(kept, 1)));
      arrays.emplace("steps", io::from_tensor(at::tensor(steps, integer)));
    }
    io::write_npz(path(count_), arrays);
    ++count_;
    kept.clear();
    steps.clear();
  }

  void collect(ChainResult& result) const {
    std::vector<at::Tensor> positions, steps;
    for (int64_t i = 0; i < count_; ++i) {
      const io::NamedArrays arrays = io::read_npz(path(i));
      if (!arrays.contains("positions")) continue;
      positions.push_back(io::to_tensor(arrays.at("positions")));
      steps.push_back(io::to_tensor(arrays.at("steps")));
    }
    result.positions = at::cat(positions, 1);
    result.steps = at::cat(steps);
  }

 private:
  fs::path path(int64_t index) const { return folder_ / fmt::format("segment_{:06d}.npz", index); }

  fs::path folder_;
  int64_t count_ = 0;
};

}  // namespace

StreamResult stream_chains(const Target& target, const Kernel& kernel, const at::Tensor& x0,
                           const KernelOptions& kernel_options, const ChainOptions& options,
                           const StreamOptions& stream,
                           const std::function<void(const Chains&)>& observe) {
  check_counts(options);
  StreamResult result;
  Chains& chains = result.chains.chains;
  chains = start_chains(target, kernel, x0, kernel_options, options.seed);
  const fs::path folder = stream.file.string() + ".partial";
  Segments segments(folder);
  std::vector<at::Tensor> kept;
  std::vector<int64_t> steps;
  const auto keep = [&] {
    if (!is_kept(options, chains.step)) return;
    kept.push_back(chains.state.x.clone());
    steps.push_back(chains.step - options.warmup);
  };
  if (segments.open(stream)) {
    segments.load_state(chains, result.seconds);
    ChainState there = init(kernel, target, chains.state.x.to(x0.options()));
    for (auto& [name, tensor] : there.carry) {
      tensor = chains.state.carry.at(name).to(tensor.options());
    }
    chains.state = std::move(there);
    result.resumed_from = chains.step;
  } else {
    keep();
  }
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const double seconds_before = result.seconds;
  const Clock::time_point begin = Clock::now();
  Clock::time_point last = begin;
  const int64_t end = options.warmup + options.num_steps;
  while (chains.step < end) {
    advance(target, kernel, kernel_options, options, chains);
    keep();
    result.seconds = seconds_before + since(begin);
    if (observe) observe(chains);
    result.finished = chains.step == end || !stream.stop || !stream.stop();
    if (!result.finished || since(last) >= stream.seconds_between) {
      segments.save(chains, kept, steps, result.seconds);
      last = Clock::now();
    }
    if (!result.finished) return result;
  }
  segments.save(chains, kept, steps, result.seconds);
  segments.collect(result.chains);
  write_chains(stream.file, result.chains, result.seconds);
  fs::remove_all(folder);
  return result;
}

void write_chains(const fs::path& file, const ChainResult& result, double seconds) {
  const Chains& chains = result.chains;
  const at::Tensor evaluations =
      at::full({1}, chains.num_evaluations, at::TensorOptions(at::kLong));
  io::NamedArrays arrays{{"positions", io::from_tensor(result.positions)},
                         {"steps", io::from_tensor(result.steps)},
                         {"diverged_at", io::from_tensor(chains.stopped_at)},
                         {"stop_reason", io::from_tensor(chains.stop_reason)},
                         {"step_size", io::from_tensor(chains.adaptation.step_size)},
                         {"evaluations", io::from_tensor(evaluations)},
                         {"seconds", io::from_tensor(at::full({1}, seconds, at::kDouble))}};
  const at::Tensor acceptance = result.acceptance();
  if (acceptance.defined()) arrays.emplace("acceptance", io::from_tensor(acceptance));
  io::write_npz(file, arrays);
}

}  // namespace scorejet::sampling
