// What a second-order score costs (after Meng et al. 2021, the comparison of computational cost):
// the direct s2 of a network against the Jacobian of the s1 of the same network. Change sizes,
// ranks and networks in speed.cc.
#pragma once

#include "reproduce/reproduce.h"

namespace scorejet::reproduce {

// Writes table.{csv,json,md}: for images of 784 and 3,072 numbers, U-Nets of 32 and 64 channels and
// ranks 20, 50, 200 and 1,000 (those above D are skipped, and named) seconds and peak memory an
// image of s1 with the whole direct s2 (a diagonal and a factor), and of all D vector-Jacobian
// products of s1, as many at once as is fastest. Networks are as they are initialised: weights do
// not change what they cost. And scaling.{csv,json}, with its log-log slopes in table.md: how the
// order-2 loss grows with D and r (loss_scaling.h).
void speed(const ReproduceOptions& options);

}  // namespace scorejet::reproduce
