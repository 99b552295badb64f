// The denoised mean and its error bars of points near a density that is known exactly.
#include <ATen/ATen.h>
#include <scorejet/scorejet.h>

#include <cstdio>

int main() {
  const auto density = scorejet::distributions::make_density("two-moons");
  const at::Tensor noisy = at::tensor({0.5f, 0.1f, -1.0f, 0.4f}).view({2, 2});
  const auto posterior = scorejet::posterior::posteriors(*density, noisy, 0.3, {});
  for (int i = 0; i < 2; ++i)
    std::printf("%g +- %g\n", posterior.mean[i][0].item<double>(),
                posterior.variance[i][0].sqrt().item<double>());
}
