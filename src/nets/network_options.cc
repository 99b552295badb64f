#include "scorejet/network_options.h"

#include "src/base/error.h"
#include "src/nets/network.h"

namespace scorejet::nets {
namespace {

constexpr const char* kMakeNetwork = "nets::make_network";

std::vector<std::string> kinds(NetworkOptions& options) {
  std::vector<std::string> names{"auto"};
  for (const Family* family : options.families()) names.push_back(family->name());
  return names;
}

void check_at_least_one(const char* name, int64_t value) {
  if (value < 1) {
    base::fail_argument(kMakeNetwork, "model.{} must be at least 1; got {}", name, value);
  }
}

void check_network_shape(const NetworkShape& shape) {
  check_at_least_one("dim", shape.dim);
  if (shape.s2 == Structure::kLowRank) {
    check_at_least_one("rank", shape.rank);
    if (shape.rank > shape.dim) {
      base::fail_argument(kMakeNetwork, "model.rank must be at most D = {}; got {}", shape.dim,
                          shape.rank);
    }
  }
  if (shape.s3 != Structure::kNone && shape.s2 == Structure::kNone) {
    base::fail_argument(kMakeNetwork,
                        "model.s3 needs a model.s2, whose errors it is centred by; got none");
  }
  if (shape.s3 == Structure::kLowRank) check_at_least_one("s3_rank", shape.s3_rank);
  if (!shape.first && shape.s2 == Structure::kNone) {
    base::fail_argument(kMakeNetwork,
                        "model.s2 must not be none where s1 is given: nothing is learned");
  }
}

}  // namespace

const char* structure_name(Structure value) {
  constexpr const char* kNames[] = {"none", "diagonal", "low_rank", "full"};
  return kNames[static_cast<int>(value)];
}

base::Settings NetworkOptions::settings() {
  base::Settings all{
      {"model.network", base::Choice(kind, kinds(*this)), "mlp: vectors; unet: images"}};
  base::append(all, NetworkShape::settings());
  for (Family* family : families()) base::append(all, family->settings());
  return all;
}

std::string resolve_kind(NetworkOptions options) {
  if (options.kind != "auto") return options.kind;
  for (const Family* family : options.families()) {
    if (family->suits(options)) return family->name();
  }
  return options.kind;
}

std::shared_ptr<Network> make_network(NetworkOptions options) {
  check_network_shape(options);
  const std::string kind = resolve_kind(options);
  for (Family* family : options.families()) {
    if (family->name() != kind) continue;
    for (const base::Setting& setting : family->settings()) setting.check(kMakeNetwork);
    return family->make(options);
  }
  const std::vector<std::string> known = kinds(options);
  base::fail_argument(kMakeNetwork, "model.network must be {}; got \"{}\" (nearest: \"{}\")",
                      base::any_of(known), kind, base::nearest(kind, known));
}

}  // namespace scorejet::nets
