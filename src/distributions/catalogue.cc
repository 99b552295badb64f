#include "scorejet/distribution.h"

#include <fmt/ranges.h>

#include "src/base/error.h"
#include "src/distributions/blurred_curve.h"
#include "src/distributions/checkerboard.h"
#include "src/distributions/conditional_gaussian.h"

namespace scorejet::distributions {

std::unique_ptr<Distribution> drawn_normal();                        // drawn_mixtures.cc
std::unique_ptr<Distribution> drawn_logistics();                     //
std::unique_ptr<Distribution> drawn_gaussians();                     //
std::unique_ptr<Distribution> conditioned_normal(double condition);  //
std::unique_ptr<Distribution> star();                                //
std::unique_ptr<Distribution> long_gaussians();                      //

const std::vector<Density>& densities() {
  static const std::vector<Density> list{
      {"eight-gaussians", 2, [] { return eight_gaussians(); }},
      {"two-moons", 2, [] { return two_moons(); }},
      {"checkerboard", 2, [] { return std::make_unique<Checkerboard>(); }},
      {"swiss-roll", 2, [] { return swiss_roll(); }},
      {"pinwheel", 2, [] { return pinwheel(); }},
      {"rings", 2, [] { return rings(); }},
      {"funnel", 2, [] { return std::make_unique<Funnel>(); }},
      {"banana", 2, [] { return std::make_unique<Banana>(); }},
      {"mixture-2", 2, star},
      {"mixture-20", 20, long_gaussians},
      {"mixture", 20, drawn_gaussians},
      {"condition-100", 20, [] { return conditioned_normal(100); }},
      {"condition-1000", 20, [] { return conditioned_normal(1000); }},
      {"condition-10000", 20, [] { return conditioned_normal(10000); }},
      {"logistic", 50, drawn_logistics},
      {"normal", 100, drawn_normal}};
  return list;
}

std::vector<std::string> density_names() {
  std::vector<std::string> names;
  for (const Density& density : densities()) names.push_back(density.name);
  return names;
}

std::string describe_densities() {
  std::vector<std::string> all;
  for (const Density& density : densities()) {
    all.push_back(fmt::format("{} ({})", density.name, density.dim));
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

std::unique_ptr<Distribution> make_density(const std::string& name) {
  for (const Density& density : densities()) {
    if (density.name == name) return density.make();
  }
  const std::string near = base::nearest(name, density_names());
  base::fail_argument("distributions::make_density", "name must be one of {}; got \"{}\"{}",
                      fmt::join(density_names(), ", "), name,
                      near.empty() ? "" : fmt::format(" (nearest: {})", near));
}

}  // namespace scorejet::distributions
