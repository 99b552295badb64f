// The low-rank step never makes a tensor of B·D·D elements: the largest single allocation is
// counted.
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <atomic>

#include "src/objectives/denoising.h"
#include "tests/torch_allocator.h"

namespace scorejet::training {
namespace {

// Hands on to the default allocator, keeping the largest request and the live total's peak.
class CountingAllocator : public testing::TorchAllocator {
 public:
  c10::DataPtr take(size_t size) const override {
    largest = std::max(largest.load(), size);
    char* memory = static_cast<char*>(::operator new (size + kHeader, std::align_val_t{kHeader}));
    *reinterpret_cast<size_t*>(memory) = size;
    live += size;
    peak = std::max(peak.load(), live.load());
    // The pointer is its own context, as the interpreter of TorchScript asks of an allocator.
    return {memory + kHeader, memory + kHeader, &release, c10::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  static void release(void* data) {
    if (!data) return;
    char* memory = static_cast<char*>(data) - kHeader;
    live -= *reinterpret_cast<size_t*>(memory);
    ::operator delete (memory, std::align_val_t{kHeader});
  }
  static constexpr size_t kHeader = 64;  // before the data: its size; also the alignment
  static inline std::atomic<size_t> largest{0}, live{0}, peak{0};
};

TEST(Memory, LowRankLossStaysLinearInD) {
  static CountingAllocator allocator;
  c10::SetCPUAllocator(&allocator, 100);
  constexpr int64_t kBatch = 4, kPoints = 3 * kBatch, kDim = 3072, kRank = 20;
  constexpr size_t kFactor = kPoints * kDim * (kRank + 1) * sizeof(float);
  const at::Tensor a = at::randn({kPoints, kDim}).requires_grad_();
  const at::Tensor b = at::randn({kPoints, kDim, kRank}).requires_grad_();
  const at::Tensor s1 = at::randn({kPoints, kDim}), z = at::randn({kBatch, kDim});
  const auto s2 = linalg::SymmetricOperator::from_low_rank(a, b);
  using objectives::Form;
  const auto peak = [&](Form form, bool plain) {  // in factors
    CountingAllocator::largest = 0;
    CountingAllocator::peak = CountingAllocator::live.load();
    const size_t before = CountingAllocator::live;
    const at::Tensor sigma = at::full({kBatch}, 0.5);
    const at::Tensor loss = plain
                                ? objectives::hessian_loss_antithetic_plain(form, s1, s2, z, sigma)
                                : objectives::hessian_loss_antithetic(form, s1, s2, z, sigma);
    torch::autograd::backward({loss.mean()});
    EXPECT_GT(CountingAllocator::largest, kFactor / 4) << "the counter must see something";
    EXPECT_LE(CountingAllocator::largest, kFactor);
    return static_cast<double>(CountingAllocator::peak - before) / kFactor;
  };
  for (const Form form : {Form::kProduct, Form::kCentred}) {
    EXPECT_LE(peak(form, true), 16.0 / 3);
    EXPECT_LE(peak(form, false), 4.0 / 3);  // the gradient, and r² of the products
    static_assert(16 * kFactor < kPoints * kDim * kDim * sizeof(float));
  }
}

}  // namespace
}  // namespace scorejet::training
