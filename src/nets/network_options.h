// The one list of network families, and what a network is made from. Add a family: two files like
// mlp.{h,cc} and, in this one, an include, a member and its name in families().
#pragma once

#include "src/nets/mlp.h"
#include "src/nets/unet.h"

namespace scorejet::nets {

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
