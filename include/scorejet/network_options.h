// What every network is told (NetworkShape), what a family of networks is to the rest (Family), and
// the families. Add a family: a struct like MlpOptions, a member and its name in
// NetworkOptions::families(), here; what it makes is src/nets/NAME.cc (templates/network.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "scorejet/settings.h"

namespace scorejet::nets {

class Network;  // what is made; the library's own (src/nets/network.h)

// Of a score of order two or three.
enum class Structure { kNone, kDiagonal, kLowRank, kFull };
const char* structure_name(Structure value);  // "none", "diagonal", "low_rank", "full"

// What goes in and comes out. dim, image_shape and first are not settings: the data and a given s1
// say them.
struct NetworkShape {
  int64_t dim = 0;                   // D
  std::vector<int64_t> image_shape;  // {channels, height, width}; empty for vectors
  bool first = true;                 // a head for s1; without one the first trunk is that of s2
  Structure s2 = Structure::kLowRank;
  int64_t rank = 20;
  Structure s3 = Structure::kNone;
  int64_t s3_rank = 20;
  bool share_trunk = true;

  base::Settings settings() {
    const std::vector<Structure> structures{Structure::kNone, Structure::kDiagonal,
                                            Structure::kLowRank, Structure::kFull};
    const auto third = [this] { return s3 != Structure::kNone; };
    return {
        {"model.s2", base::Choice(s2, structures, structure_name),
         "structure of the second-order score; full: small D"},
        {"model.rank", &rank, "columns of the factor B of s2 = diag(a) + B B^T; 1..D",
         base::at_least(1)},
        {"model.s3",
         base::Choice(s3, structures, structure_name),
         "structure of the third-order score; full: small D; needs an s2",
         {},
         "none",
         third},
        {"model.s3_rank",
         &s3_rank,
         "terms of s3 = sum_j gamma_j w_j^3 + diag3(c); of any size beside D",
         base::at_least(1),
         {},
         third},
        {"model.share_trunk", &share_trunk, "one trunk for all orders, or one each"},
    };
  }
};

struct Family {
  virtual ~Family() = default;
  virtual std::string name() const = 0;   // as model.network says it
  virtual base::Settings settings() = 0;  // keys "model.width"; no two families share one
  // Whether model.network = "auto" stands for it; the first in the list that says so.
  virtual bool suits(const NetworkShape& shape) const = 0;
  // Freshly initialised. The settings are in their ranges and the shape is sound. Errors:
  // std::invalid_argument naming what this family cannot do.
  virtual std::shared_ptr<Network> make(const NetworkShape& shape) const = 0;
};

// The network for vectors: residual hidden layers with σ added to each, linear heads.
struct MlpOptions : Family {
  int64_t width = 256;
  int64_t depth = 2;

  std::string name() const override { return "mlp"; }
  base::Settings settings() override {
    return {{"model.width", &width, "mlp: hidden units a layer", base::at_least(1)},
            {"model.depth", &depth, "mlp: hidden layers", base::at_least(1)}};
  }
  bool suits(const NetworkShape& shape) const override { return shape.image_shape.empty(); }
  std::shared_ptr<Network> make(const NetworkShape& shape) const override;
};

// The network for images: a small residual U-Net on folded pixels.
struct UNetOptions : Family {
  int64_t channels = 32;
  int64_t blocks = 1;
  int64_t levels = 2;
  int64_t patch = 2;

  std::string name() const override { return "unet"; }
  base::Settings settings() override {
    return {
        {"model.channels", &channels, "unet: channels at its finest level", base::at_least(1)},
        {"model.blocks", &blocks, "unet: residual blocks a level", base::at_least(1)},
        {"model.levels", &levels, "unet: resolutions, each half the one before", base::at_least(1)},
        {"model.patch", &patch, "unet: pixels a side folded into channels at the input",
         base::at_least(1)}};
  }
  bool suits(const NetworkShape& shape) const override { return !shape.image_shape.empty(); }
  std::shared_ptr<Network> make(const NetworkShape& shape) const override;
};

struct NetworkOptions : NetworkShape {
  std::string kind = "auto";  // a family's name, or "auto": by the data
  MlpOptions mlp;
  UNetOptions unet;

  std::vector<Family*> families() { return {&mlp, &unet}; }

  base::Settings settings();  // model.network, those of the shape and those of every family
};

// The family that "auto" stands for; else the kind itself.
std::string resolve_kind(NetworkOptions options);

// Errors: std::invalid_argument naming the option: an unknown kind (and the nearest), a value out
// of its range, rank > D, a third order without a second, and what the family itself refuses.
std::shared_ptr<Network> make_network(NetworkOptions options);

}  // namespace scorejet::nets
