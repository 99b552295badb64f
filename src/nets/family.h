// What every network is told, and what a family of networks (mlp.h, unet.h) is to the rest: a name,
// options of its own, a way to be made. The families are listed in network_options.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/base/settings.h"

namespace scorejet::nets {

class Network;

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

}  // namespace scorejet::nets
