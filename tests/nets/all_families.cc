#include "tests/nets/conformance.h"

namespace scorejet::nets {

const std::vector<Family*>& families_under_test() {
  static NetworkOptions options;
  options.mlp.width = 32;
  options.unet.channels = 8;
  static const std::vector<Family*> list = options.families();
  return list;
}

}  // namespace scorejet::nets
