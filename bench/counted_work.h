// Counts the arithmetic of whatever runs: the products that LibTorch is asked for. Add an operator
// in counted_work.cc.
#pragma once

#include <functional>

namespace scorejet::bench {

// Floating-point operations of the convolutions and matrix products that LibTorch carries out while
// `body` runs, forward and backward, 2 for each multiply-add. What is not one of these (element by
// element, or in kernels of this library) is not counted, so that a rate made of it is a lower
// bound. Convolutions are counted with their padding, as direct ones. Not while another thread
// counts.
double count_flops(const std::function<void()>& body);

}  // namespace scorejet::bench
