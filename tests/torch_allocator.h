// An allocator of LibTorch as every version asks for it.
#pragma once

#include <c10/core/Allocator.h>
#include <torch/version.h>

namespace scorejet::testing {

class TorchAllocator : public c10::Allocator {
 public:
  virtual c10::DataPtr take(size_t size) const = 0;
#if TORCH_VERSION_MAJOR >= 2
  c10::DataPtr allocate(size_t size) override { return take(size); }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }
#else
  c10::DataPtr allocate(size_t size) const override { return take(size); }
#endif
};

}  // namespace scorejet::testing
