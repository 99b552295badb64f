// Small eigenproblems: LAPACK's answer, whatever the batch and the number of threads.
#include "src/linalg/small_eigh.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "src/base/parallel.h"
#include "src/base/seed.h"

namespace scorejet::linalg {
namespace {

at::Tensor symmetric_matrices(int64_t batch, int64_t dim) {
  at::Generator generator = base::make_generator(5, "small eigh", 0);
  const at::Tensor a = at::randn({batch, dim, dim}, generator, at::kDouble);
  return a + a.transpose(1, 2);
}

TEST(SmallEigh, SolvesEachMatrix) {
  for (const int64_t dim : {1, 2, 20, 128, 130}) {
    const at::Tensor a = symmetric_matrices(5, dim);
    const auto [values, vectors] = small_eigh(a);
    const at::Tensor back = at::matmul(vectors * values.unsqueeze(1), vectors.transpose(1, 2));
    EXPECT_LT((back - a).abs().max().item<double>(), 1e-11) << dim;
    EXPECT_TRUE(at::allclose(values, std::get<0>(at::linalg_eigh(a)), 1e-11, 1e-11)) << dim;
  }
}

TEST(SmallEigh, SameBitsAloneInABatchAndForAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const at::Tensor a = symmetric_matrices(7, 20);
  at::set_num_threads(2);
  const auto [values, vectors] = small_eigh(a);
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(small_eigh(a).second, vectors)) << threads;
    for (int64_t b = 0; b < a.size(0); ++b) {
      EXPECT_TRUE(at::equal(small_eigh(a.slice(0, b, b + 1)).second[0], vectors[b])) << threads;
    }
  }
  at::set_num_threads(before);
}

TEST(SmallEigh, KeepsGradientsAndEmptyBatches) {
  const at::Tensor a = symmetric_matrices(2, 3).requires_grad_();
  EXPECT_TRUE(small_eigh(a).first.requires_grad());
  EXPECT_EQ(small_eigh(at::empty({0, 3, 3}, at::kDouble)).first.sizes(),
            (std::vector<int64_t>{0, 3}));
}

TEST(ParallelForSmallBlas, CoversEveryIndexOnceAndThrowsWhatAPieceThrows) {
  for (const int64_t count : {0, 1, 2, 7}) {
    at::Tensor seen = at::zeros({count + 1}, at::kLong);
    base::parallel_for_small_blas(count, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) seen.data_ptr<int64_t>()[i] += 1;
    });
    EXPECT_EQ(seen.sum().item<int64_t>(), count);
    EXPECT_TRUE(count == 0 || seen.narrow(0, 0, count).eq(1).all().item<bool>());
  }
  EXPECT_THROW(
      base::parallel_for_small_blas(4, [](int64_t, int64_t) { throw std::domain_error("no"); }),
      std::domain_error);
}

}  // namespace
}  // namespace scorejet::linalg
