#include "src/base/seed.h"

#include <ATen/CPUGeneratorImpl.h>

namespace scorejet::base {
namespace {

// splitmix64 finaliser (Steele, Lea & Flood 2014).
uint64_t mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t derive_seed(uint64_t seed, std::string_view stream, uint64_t index) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : stream) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return mix(mix(mix(seed) ^ hash) ^ index);
}

at::Generator make_generator(uint64_t seed, std::string_view stream, uint64_t index) {
  return at::detail::createCPUGenerator(derive_seed(seed, stream, index));
}

}  // namespace scorejet::base
