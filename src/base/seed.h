// Random numbers as a pure function of (seed, stream, index): nothing to save, nothing to restore.
// A training step, a chain or a batch of noise asks for its own generator by name and number, so
// that a resumed run and a chain among others draw what they would have drawn alone.
#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <string_view>

namespace scorejet::base {

// A well-mixed 64-bit seed (splitmix64 of the three inputs; the stream's name by FNV-1a).
uint64_t derive_seed(uint64_t seed, std::string_view stream, uint64_t index);

// A CPU generator seeded with derive_seed(seed, stream, index).
at::Generator make_generator(uint64_t seed, std::string_view stream, uint64_t index = 0);

}  // namespace scorejet::base
