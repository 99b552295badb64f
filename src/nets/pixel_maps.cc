#include "src/nets/pixel_maps.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/nets/map_layout.h"

namespace scorejet::nets {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kPixelsLast = at::MemoryFormat::ChannelsLast;

struct PixelShape {
  int64_t images, colours, height, width, patch, step;  // of the maps, in groups of patch²
};

// Copies between maps [height, width, colours, patch, patch], one every `step` numbers, and pixels
// [colours, height patch, width patch] of each image. P is the patch, 0 for any. One line of maps
// stays in the cache.
template <int P, bool kToPixels>
void copy_images(const PixelShape& s, std::conditional_t<kToPixels, const float, float>* maps,
                 std::conditional_t<kToPixels, float, const float>* pixels) {
  const int64_t patch = P > 0 ? P : s.patch, size = patch * patch, channels = s.colours * size;
  const int64_t image = channels * s.height * s.width;
  const int64_t grain = 1 + (1 << 15) / std::max<int64_t>(1, image);
  base::parallel_for(s.images, grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t h = 0; h < s.height; ++h) {
        auto* const line = maps + (n * s.height + h) * s.width * s.step;
        for (int64_t c = 0; c < s.colours; ++c) {
          auto* const rows = pixels + n * image + (c * s.height + h) * patch * s.width * patch;
          for (int64_t w = 0; w < s.width; ++w) {
            for (int64_t i = 0; i < patch; ++i) {
              for (int64_t j = 0; j < patch; ++j) {
                auto& map = line[w * s.step + c * size + i * patch + j];
                auto& pixel = rows[i * s.width * patch + w * patch + j];
                if constexpr (kToPixels) {
                  pixel = map;
                } else {
                  map = pixel;
                }
              }
            }
          }
        }
      }
    }
  });
}

template <bool kToPixels, typename Maps, typename Pixels>
void copy_pixels(const PixelShape& s, Maps* maps, Pixels* pixels) {
  if (s.patch == 1) return copy_images<1, kToPixels>(s, maps, pixels);
  if (s.patch == 2) return copy_images<2, kToPixels>(s, maps, pixels);
  copy_images<0, kToPixels>(s, maps, pixels);
}

at::Tensor to_pixels(const at::Tensor& maps, int64_t patch) {
  const PixelShape s{maps.size(0), maps.size(1) / (patch * patch),
                     maps.size(2), maps.size(3),
                     patch,        pixel_stride(maps)};
  const at::Tensor pixels =
      at::empty({s.images, s.colours, s.height * patch, s.width * patch}, at::kFloat);
  copy_pixels<true>(s, static_cast<const float*>(maps.data_ptr<float>()), pixels.data_ptr<float>());
  return pixels;
}

at::Tensor to_maps(const at::Tensor& any, int64_t patch) {
  const at::Tensor pixels = any.contiguous();
  const int64_t colours = pixels.size(1);
  const PixelShape s{pixels.size(0),         colours, pixels.size(2) / patch,
                     pixels.size(3) / patch, patch,   colours * patch * patch};
  const at::Tensor maps = at::empty({s.images, s.colours * patch * patch, s.height, s.width},
                                    at::TensorOptions(at::kFloat).memory_format(kPixelsLast));
  copy_pixels<false>(s, maps.data_ptr<float>(),
                     static_cast<const float*>(pixels.data_ptr<float>()));
  return maps;
}

struct PixelsOf : torch::autograd::Function<PixelsOf> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& maps, int64_t patch) {
    context->saved_data["patch"] = patch;
    return to_pixels(maps, patch);
  }
  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const int64_t patch = context->saved_data["patch"].toInt();
    return {at::GradMode::is_enabled() ? at::pixel_unshuffle(outputs[0], patch)
                                       : to_maps(outputs[0], patch),
            {}};
  }
};

}  // namespace

at::Tensor pixels_of_plain(const at::Tensor& maps, int64_t patch) {
  return at::pixel_shuffle(maps.contiguous(), patch);
}

at::Tensor pixels_of(const at::Tensor& maps, int64_t patch) {
  if (maps.dim() != 4 || patch < 1 || maps.size(1) % (patch * patch) != 0 || !is_walkable(maps) ||
      !base::fast(base::FastPath::kPixelMaps)) {
    return pixels_of_plain(maps, patch);
  }
  return at::GradMode::is_enabled() && maps.requires_grad() ? PixelsOf::apply(maps, patch)
                                                            : to_pixels(maps, patch);
}

}  // namespace scorejet::nets
