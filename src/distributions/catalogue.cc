#include "scorejet/distribution.h"

#include <fmt/ranges.h>

#include <functional>
#include <utility>

#include "src/base/error.h"
#include "src/distributions/blurred_curve.h"
#include "src/distributions/checkerboard.h"
#include "src/distributions/conditional_gaussian.h"

namespace scorejet::distributions {
namespace {

using Entry = std::pair<std::string, std::function<std::unique_ptr<Distribution>()>>;

const std::vector<Entry>& entries() {
  static const std::vector<Entry> list{
      {"eight-gaussians", [] { return eight_gaussians(); }},
      {"two-moons", [] { return two_moons(); }},
      {"checkerboard", [] { return std::make_unique<Checkerboard>(); }},
      {"swiss-roll", [] { return swiss_roll(); }},
      {"pinwheel", [] { return pinwheel(); }},
      {"rings", [] { return rings(); }},
      {"funnel", [] { return std::make_unique<Funnel>(); }},
      {"banana", [] { return std::make_unique<Banana>(); }}};
  return list;
}

}  // namespace

const std::vector<std::string>& planar_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& entry : entries()) all.push_back(entry.first);
    return all;
  }();
  return names;
}

std::unique_ptr<Distribution> make_planar(const std::string& name) {
  for (const auto& [known, make] : entries()) {
    if (known == name) return make();
  }
  const std::string near = base::nearest(name, planar_names());
  base::fail_argument("distributions::make_planar", "name must be one of {}; got \"{}\"{}",
                      fmt::join(planar_names(), ", "), name,
                      near.empty() ? "" : fmt::format(" (nearest: {})", near));
}

}  // namespace scorejet::distributions
