// Ctrl-C: every long command ends cleanly, says what is left and exits with 130; the second ends it
// at once.
#include <ATen/ATen.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <torch/utils.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "tests/command.h"

namespace scorejet {
namespace {

using testing::command;
using testing::Outcome;
using testing::run;
using testing::Scratch;
namespace fs = std::filesystem;

// Tries until `done`, for a minute.
template <typename Done>
bool wait_until(const Done& done) {
  for (int i = 0; i < 6000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// A command that reads `input`, here a pipe: the signal comes while it waits for the first byte, so
// before its work however fast the machine. `signals` of them; then it gets the bytes of `content`.
Outcome interrupted(const Scratch& scratch, const std::vector<std::string>& arguments,
                    const fs::path& input, const fs::path& content, int signals = 1) {
  const std::string bytes = io::read_text(content);
  fs::remove(input);
  EXPECT_EQ(mkfifo(input.c_str(), 0600), 0);
  const fs::path log = scratch / "interrupted.txt";
  fs::remove(log);
  std::string binary = command();
  binary.pop_back();
  const pid_t child = fork();
  if (child == 0) {
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
      dup2(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), stream);
    }
    std::vector<char*> words{binary.data()};
    for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    execv(binary.c_str(), words.data());
    _exit(127);
  }
  int pipe = -1, status = 0;
  EXPECT_TRUE(wait_until([&] {
    pipe = open(input.c_str(), O_WRONLY | O_NONBLOCK);  // fails until somebody reads
    return pipe >= 0;
  }));
  kill(child, SIGINT);
  EXPECT_TRUE(
      wait_until([&] { return io::read_text(log).find("once more") != std::string::npos; }));
  for (int i = 1; i < signals; ++i) kill(child, SIGINT);
  if (signals == 1) {
    fcntl(pipe, F_SETFL, 0);
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = write(pipe, bytes.data() + done, bytes.size() - done);
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    close(pipe);
  }
  if (!wait_until([&] { return waitpid(child, &status, WNOHANG) == child; })) {
    ADD_FAILURE() << "it went on for a minute";
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  if (signals > 1) close(pipe);
  fs::remove(input);
  fs::copy_file(content, input);
  const int code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  return {code, io::read_text(log)};
}

class Interrupt : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = std::signal(SIGPIPE, SIG_IGN);
    torch::manual_seed(14);
    io::write_npy(scratch_ / "x.npy", io::from_tensor(at::randn({3000, 2})));
    fs::copy_file(scratch_ / "x.npy", scratch_ / "content.npy");
    io::write_file(scratch_ / "c.toml", "[data]\nname = \"" + at("x.npy") +
                                            "\"\nvalidation = 100\n[model]\ns2 = \"full\"\n"
                                            "width = 16\n[train]\nsteps = 20\n");
  }
  void TearDown() override { std::signal(SIGPIPE, before_); }

  std::string at(const std::string& name) const { return (scratch_ / name).string(); }
  Outcome interrupt(const std::vector<std::string>& arguments) const {
    return interrupted(scratch_, arguments, scratch_ / "x.npy", scratch_ / "content.npy");
  }
  void expect_stopped(const Outcome& outcome, const std::string& said) const {
    EXPECT_EQ(outcome.code, 130) << outcome.output;
    EXPECT_NE(outcome.output.find("scorejet: interrupted" + said), std::string::npos)
        << outcome.output;
  }

  Scratch scratch_;
  void (*before_)(int) = nullptr;
};

TEST_F(Interrupt, TrainingLeavesACheckpointToGoOnFrom) {
  expect_stopped(interrupt({"train", at("c.toml"), "--out", at("run")}),
                 " at step 1; checkpoint written, go on with --resume");
  const Outcome rest = run(scratch_, "train " + at("c.toml") + " --resume --out " + at("run"));
  EXPECT_EQ(rest.code, 0) << rest.output;
}

TEST_F(Interrupt, CommandsOnARunLeaveNothingHalfWritten) {
  ASSERT_EQ(run(scratch_, "train " + at("c.toml") + " --out " + at("run")).code, 0);
  const std::string nothing = "; nothing was written";
  expect_stopped(interrupt({"denoise", at("run"), at("x.npy"), "--sigma", "0.5", "--samples", "900",
                            "--out", at("denoised")}),
                 nothing);
  EXPECT_FALSE(fs::exists(scratch_ / "denoised/posterior.npz"));
  expect_stopped(interrupt({"calibrate", at("run"), "--sigma", "0.5"}), nothing);
  EXPECT_FALSE(fs::exists(scratch_ / "run/calibration.json"));
  expect_stopped(
      interrupt({"score", at("run"), at("x.npy"), "--sigma", "0.5", "--out", at("s.npz")}),
      nothing);
  EXPECT_FALSE(fs::exists(scratch_ / "s.npz"));
}

TEST_F(Interrupt, ChainsGoOnAsIfNeverStopped) {
  const std::string same =
      " banana --sigma 0.1 --kernel hmc --steps 30 --warmup 5 --thin 2 --start ";
  ASSERT_EQ(run(scratch_, "sample" + same + at("x.npy") + " --out " + at("whole")).code, 0);
  expect_stopped(
      interrupt({"sample", "banana", "--sigma", "0.1", "--kernel", "hmc", "--steps", "30",
                 "--warmup", "5", "--thin", "2", "--start", at("x.npy"), "--out", at("parts")}),
      "; the chains of hmc are kept, go on with --resume");
  EXPECT_FALSE(fs::exists(scratch_ / "parts/chains.npz"));
  const Outcome rest =
      run(scratch_, "sample" + same + at("x.npy") + " --resume --out " + at("parts"));
  ASSERT_EQ(rest.code, 0) << rest.output;
  EXPECT_NE(rest.output.find("hmc: resumed at step 1\n"), std::string::npos) << rest.output;
  const auto whole = io::read_npz(scratch_ / "whole/chains.npz");
  const auto parts = io::read_npz(scratch_ / "parts/chains.npz");
  EXPECT_EQ(whole.at("positions").bytes, parts.at("positions").bytes);
}

TEST_F(Interrupt, CausalOrderStops) {
  std::string table = "a,b\n";
  for (int i = 0; i < 200; ++i) table += fmt::format("{},{}\n", i % 7, (i * i) % 11);
  io::write_file(scratch_ / "content.csv", table);
  expect_stopped(
      interrupted(scratch_, {"causal-order", at("t.csv"), "--steps", "100000", "--out", at("o")},
                  scratch_ / "t.csv", scratch_ / "content.csv"),
      "; nothing was written");
  EXPECT_FALSE(fs::exists(scratch_ / "o"));
}

TEST_F(Interrupt, TheSecondEndsItAtOnce) {
  const Outcome outcome = interrupted(scratch_, {"train", at("c.toml"), "--out", at("run")},
                                      scratch_ / "x.npy", scratch_ / "content.npy", 2);
  EXPECT_EQ(outcome.code, -SIGINT) << outcome.output;
}

}  // namespace
}  // namespace scorejet
