// Maximum over windows, and its gradient: torch.nn.functional.max_pool2d where the stride is the kernel and the kernel
// divides the picture. The place of a maximum takes one byte; torch keeps eight, and the input.

#include <omp.h>

#include <cstdint>

#include "scalar.h"

namespace qsnn {
namespace {

// Windows [images, height, width] of kernel x kernel pixels; channels innermost.
struct Windows {
  int64_t images;
  int64_t height;
  int64_t width;
  int64_t channels;
  int64_t kernel;
  int64_t num_threads;
};

// kKernel: the kernel, where the compiler is to unroll it, else 0.
template <int64_t kKernel, typename Scalar>
void Forward(const Windows& w, const Scalar* input, Scalar* output, uint8_t* places) {
  const int64_t kernel = kKernel ? kKernel : w.kernel, channels = w.channels, row = w.width * kernel * channels;
#pragma omp parallel for num_threads(w.num_threads) schedule(static)
  for (int64_t line = 0; line < w.images * w.height; ++line) {
    for (int64_t x = 0; x < w.width; ++x) {
      const Scalar* __restrict corner = input + line * kernel * row + x * kernel * channels;
      Scalar* __restrict best = output + (line * w.width + x) * channels;
      uint8_t* __restrict place = places + (line * w.width + x) * channels;
      for (int64_t i = 0; i < channels; ++i) {
        float maximum = Load(corner[i]);
        int32_t found = 0;
        for (int64_t dy = 0; dy < kernel; ++dy) {
          for (int64_t dx = 0; dx < kernel; ++dx) {
            const float value = Load(corner[dy * row + dx * channels + i]);
            const bool better = (value > maximum) | (value != value);  // not a number: it is passed on
            maximum = better ? value : maximum;
            found = better ? static_cast<int32_t>(dy * kernel + dx) : found;
          }
        }
        Store(maximum, best + i);
        place[i] = static_cast<uint8_t>(found);
      }
    }
  }
}

// Bits: of a gradient, which is moved and not computed with.
template <typename Bits>
void Backward(const Windows& w, const Bits* grad_output, const uint8_t* places, Bits* grad_input) {
  const int64_t kernel = w.kernel, channels = w.channels, row = w.width * kernel * channels;
#pragma omp parallel for num_threads(w.num_threads) schedule(static)
  for (int64_t line = 0; line < w.images * w.height; ++line) {
    for (int64_t x = 0; x < w.width; ++x) {
      const Bits* __restrict grad = grad_output + (line * w.width + x) * channels;
      const uint8_t* __restrict place = places + (line * w.width + x) * channels;
      for (int64_t dy = 0; dy < kernel; ++dy) {
        for (int64_t dx = 0; dx < kernel; ++dx) {
          Bits* __restrict pixel = grad_input + (line * kernel + dy) * row + (x * kernel + dx) * channels;
          for (int64_t i = 0; i < channels; ++i) pixel[i] = place[i] == dy * kernel + dx ? grad[i] : Bits{0};
        }
      }
    }
  }
}

template <typename Scalar>
void ForwardAny(const Windows& w, const void* input, void* output, uint8_t* places) {
  auto run = w.kernel == 2 ? Forward<2, Scalar> : Forward<0, Scalar>;
  run(w, static_cast<const Scalar*>(input), static_cast<Scalar*>(output), places);
}

}  // namespace
}  // namespace qsnn

using qsnn::Windows;

// bfloat16: the format of the tensors, else float.
extern "C" {

void qsnn_max_pool_forward(int64_t bfloat16, const Windows* windows, const void* input, void* output, uint8_t* places) {
  (bfloat16 ? qsnn::ForwardAny<qsnn::BFloat16> : qsnn::ForwardAny<float>)(*windows, input, output, places);
}

void qsnn_max_pool_backward(int64_t bfloat16, const Windows* windows, const void* grad_output, const uint8_t* places,
                            void* grad_input) {
  if (bfloat16) {
    qsnn::Backward(*windows, static_cast<const uint16_t*>(grad_output), places, static_cast<uint16_t*>(grad_input));
  } else {
    qsnn::Backward(*windows, static_cast<const uint32_t*>(grad_output), places, static_cast<uint32_t*>(grad_input));
  }
}
}
