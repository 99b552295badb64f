// Trains on a file of 2-D points and prints the Hessian of log p at the origin.
// Usage: train_and_hessian OUT_FOLDER [POINTS]; without a file it makes one: x ~ N(0, C).
#include <ATen/ATen.h>
#include <scorejet/scorejet.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
  using namespace scorejet;
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s OUT_FOLDER [POINTS]\n", argv[0]);
    return 2;
  }
  const std::string out = argv[1];
  std::string points = argc > 2 ? argv[2] : out + "/points.csv";
  if (argc == 2) {
    std::filesystem::create_directories(out);
    const at::Tensor root = at::tensor({1.0f, 0.8f, 0.0f, 0.6f}).view({2, 2});
    const at::Tensor x = at::randn({20000, 2}).matmul(root);
    std::ofstream file(points);
    file << "u,v\n";
    for (int64_t i = 0; i < x.size(0); ++i) {
      file << x[i][0].item<float>() << "," << x[i][1].item<float>() << "\n";
    }
  }

  training::RunConfig config;
  config.data.name = points;
  config.noise.sigma = 0.3;
  config.model.network.s2 = nets::Structure::kFull;
  config.model.network.mlp.width = 64;
  config.train.steps = 1000;
  config.train.batch = 256;
  config.train.learning_rate = 2e-3;
  training::train(config, {.out = out + "/run", .resume = true});

  const training::Run run = training::load_run(out + "/run", "cpu");
  const score::Jet jet = run.model->evaluate(at::zeros({1, run.model->dim()}), 0.3, 2);
  const at::Tensor hessian = jet.s2->dense()[0];
  std::printf("Hessian of log p_0.3 at the origin:\n");
  for (int64_t i = 0; i < hessian.size(0); ++i) {
    for (int64_t j = 0; j < hessian.size(1); ++j) {
      std::printf(" %9.4f", hessian[i][j].item<double>());
    }
    std::printf("\n");
  }
  return 0;
}
