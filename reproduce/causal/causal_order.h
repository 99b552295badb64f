// How often orders found by a learned diagonal of s2 are right, on random additive noise models
// (after Rolland et al. 2022, section 5).
#pragma once

#include "reproduce/reproduce.h"

namespace scorejet::reproduce {

// Writes table.{csv,json,md}: the edges against the order (order divergence), on average over
// graphs, for the learned curvature, the Stein kernel estimate of Rolland et al., the exact one and
// an order at random; and journal.jsonl, from which an interrupted run goes on.
void causal_order(const ReproduceOptions& options);

}  // namespace scorejet::reproduce
