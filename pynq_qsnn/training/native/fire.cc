// Batch norm, charge, fire and reset of a layer over all its steps, and their gradient. The definition is torch's batch
// norm followed by pynq_qsnn/training/lif.py.
//
// Tensors are dense and step-major with the channels innermost: [num_steps, rows, channels]. A block, whole rows of
// every step, stays in the first-level cache while its neurons go through the steps. Membranes are not kept for the
// backward pass, which computes them again from the currents: the same instructions on the same values, hence the same
// bits. Sums over rows are taken in parts that depend on the shape alone, so that the number of threads changes no bit.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "scalar.h"
#include "surrogate.h"

namespace qsnn {
namespace {

struct Neuron {
  int64_t rows;  // of one step
  int64_t channels;
  int64_t num_steps;
  int64_t replay;  // the currents are those of one step, and every step receives them
  float threshold;
  float s_max;
  float keep;  // share of the membrane that a step leaves: 1 - 2^-leak_shift
  int64_t reset_to_zero;
  int64_t surrogate;  // index into SURROGATES of native_fire.py
  int64_t num_threads;
};

constexpr int64_t kCacheFloats = 4096;  // of a block's membranes: 16 KiB
constexpr int64_t kPartFloats = 8192;   // values whose sums are taken together

// Whole rows, as many values as wanted, at least one row.
int64_t Rows(int64_t values, int64_t channels) { return std::max<int64_t>(values / channels, 1); }

int64_t BlockSize(const Neuron& neuron) {
  return Rows(std::clamp<int64_t>(kCacheFloats / neuron.num_steps, 16, 512), neuron.channels) * neuron.channels;
}

// A value a channel -> a value a place of a block.
std::vector<float> Repeat(const float* values, int64_t channels, int64_t size) {
  std::vector<float> repeated(size);
  for (int64_t row = 0; row < size; row += channels) std::copy(values, values + channels, &repeated[row]);
  return repeated;
}

// Sums a place of a block -> sums a channel.
void Fold(const std::vector<float>& places, int64_t channels, double* sums) {
  std::fill(sums, sums + channels, 0.0);
  for (size_t row = 0; row < places.size(); row += channels) {
    for (int64_t c = 0; c < channels; ++c) sums[c] += places[row + c];
  }
}

inline float Code(float r, float s_max) { return Clip(std::floor(r), 0.0f, s_max); }

// The membrane in thresholds before it fires.
inline float Charge(const Neuron& neuron, float current, float left) {
  return current / neuron.threshold + neuron.keep * left;
}

// What firing leaves of it.
template <bool kZero>
inline float Reset(float r, float code) {
  return kZero ? (code == 0 ? r : 0.0f) : r - code;
}

template <bool kZero, typename Scalar>
void Forward(const Neuron& neuron, const float* scale, const float* shift, const Scalar* currents, Scalar* outputs) {
  const int64_t size = BlockSize(neuron), total = neuron.rows * neuron.channels;
  const auto scales = Repeat(scale, neuron.channels, size), shifts = Repeat(shift, neuron.channels, size);
#pragma omp parallel num_threads(neuron.num_threads)
  {
    std::vector<float> membranes(size);
#pragma omp for schedule(static)
    for (int64_t start = 0; start < total; start += size) {
      const int64_t n = std::min(size, total - start);
      std::fill(membranes.begin(), membranes.end(), 0.0f);
      for (int64_t t = 0; t < neuron.num_steps; ++t) {
        const Scalar* __restrict current = currents + (neuron.replay ? 0 : t * total) + start;
        Scalar* __restrict output = outputs + t * total + start;
        float* __restrict left = membranes.data();
        for (int64_t i = 0; i < n; ++i) {
          const float r = Charge(neuron, Load(current[i]) * scales[i] + shifts[i], left[i]);
          const float code = Code(r, neuron.s_max);
          left[i] = Reset<kZero>(r, code);
          Store(code * neuron.threshold, output + i);
        }
      }
    }
  }
}

// The backward pass of some rows, and what they add to the sums of the batch norm.
template <typename Surrogate, bool kZero, typename Scalar>
class BackwardPart {
 public:
  BackwardPart(const Neuron& neuron, const float* scale, const float* shift, const float* centre)
      : neuron_(neuron),
        size_(BlockSize(neuron)),
        total_(neuron.rows * neuron.channels),
        scale_(Repeat(scale, neuron.channels, size_)),
        shift_(Repeat(shift, neuron.channels, size_)),
        centre_(Repeat(centre, neuron.channels, size_)),
        membranes_(neuron.num_steps * size_),
        carried_(size_),
        replayed_(size_),
        sum_(size_),
        moment_(size_) {}

  // Gradients of currents * scale + shift. sums, two a channel: of the gradient, and of it times (current - centre).
  void Run(int64_t begin, int64_t end, const Scalar* currents, const Scalar* grad_outputs, Scalar* grads,
           double* sums) {
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    std::fill(moment_.begin(), moment_.end(), 0.0f);
    for (int64_t start = begin; start < end; start += size_) {
      RunBlock(std::min(size_, end - start), currents + start, grad_outputs + start, grads + start);
    }
    Fold(sum_, neuron_.channels, sums);
    Fold(moment_, neuron_.channels, sums + neuron_.channels);
  }

 private:
  void RunBlock(int64_t n, const Scalar* currents, const Scalar* grad_outputs, Scalar* grads) {
    const int64_t step = neuron_.replay ? 0 : total_;
    float* __restrict left = carried_.data();
    std::fill(left, left + n, 0.0f);
    for (int64_t t = 0; t < neuron_.num_steps; ++t) {
      const Scalar* __restrict current = currents + t * step;
      float* __restrict r = membranes_.data() + t * size_;
      for (int64_t i = 0; i < n; ++i) {
        r[i] = Charge(neuron_, Load(current[i]) * scale_[i] + shift_[i], left[i]);
        left[i] = Reset<kZero>(r[i], Code(r[i], neuron_.s_max));
      }
    }
    float* carried = carried_.data();
    float* replayed = replayed_.data();
    std::fill(carried, carried + n, 0.0f);
    std::fill(replayed, replayed + n, 0.0f);
    for (int64_t t = neuron_.num_steps - 1; t >= 0; --t) {
      const float* r = membranes_.data() + t * size_;
      const Scalar* grad_output = grad_outputs + t * total_;
      for (int64_t i = 0; i < n; ++i) {
        const float back = kZero && !(r[i] < 1.0f) ? 0.0f : carried[i];
        carried[i] = Surrogate::At(r[i], neuron_.s_max) * Load(grad_output[i]) + neuron_.keep * back;
      }
      if (neuron_.replay) {
        for (int64_t i = 0; i < n; ++i) replayed[i] += carried[i];
      } else {
        Finish(n, carried, currents + t * step, grads + t * step);
      }
    }
    if (neuron_.replay) Finish(n, replayed, currents, grads);
  }

  void Finish(int64_t n, const float* __restrict grad, const Scalar* __restrict current, Scalar* __restrict grads) {
    float* __restrict sum = sum_.data();
    float* __restrict moment = moment_.data();
    const float* centre = centre_.data();
    for (int64_t i = 0; i < n; ++i) {
      Store(grad[i], grads + i);
      sum[i] += grad[i];
      moment[i] += grad[i] * (Load(current[i]) - centre[i]);
    }
  }

  const Neuron& neuron_;
  const int64_t size_, total_;
  const std::vector<float> scale_, shift_, centre_;
  std::vector<float> membranes_, carried_, replayed_, sum_, moment_;
};

template <typename Surrogate, bool kZero, typename Scalar>
void Backward(const Neuron& neuron, const float* scale, const float* shift, const float* centre, const Scalar* currents,
              const Scalar* grad_outputs, Scalar* grads, double* sums) {
  const int64_t block = BlockSize(neuron), total = neuron.rows * neuron.channels, width = 2 * neuron.channels;
  const int64_t size = block * std::max<int64_t>(kPartFloats / block, 1), parts = (total + size - 1) / size;
  std::vector<double> of_parts(parts * width);
#pragma omp parallel num_threads(neuron.num_threads)
  {
    BackwardPart<Surrogate, kZero, Scalar> part(neuron, scale, shift, centre);
#pragma omp for schedule(static)
    for (int64_t p = 0; p < parts; ++p) {
      part.Run(p * size, std::min((p + 1) * size, total), currents, grad_outputs, grads, &of_parts[p * width]);
    }
  }
  std::fill(sums, sums + width, 0.0);
  for (int64_t p = 0; p < parts; ++p) {
    for (int64_t i = 0; i < width; ++i) sums[i] += of_parts[p * width + i];
  }
}

// Mean and variance (of the population) of each channel: two passes over a part in the cache, then the pairwise rule of
// Chan, Golub and LeVeque, Stanford STAN-CS-79-773, in double precision.
template <typename Scalar>
void Moments(const Scalar* values, int64_t rows, int64_t channels, int64_t num_threads, float* mean, float* variance) {
  const int64_t part_rows = Rows(kPartFloats, channels), parts = (rows + part_rows - 1) / part_rows;
  const int64_t size = Rows(512, channels) * channels, width = 2 * channels;
  std::vector<double> of_parts(parts * width);
#pragma omp parallel num_threads(num_threads)
  {
    std::vector<float> centre(channels), places(size);
#pragma omp for schedule(static)
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = p * part_rows * channels, end = std::min((p + 1) * part_rows, rows) * channels;
      double* means = &of_parts[p * width];
      std::fill(places.begin(), places.end(), 0.0f);
      for (int64_t start = begin; start < end; start += size) {
        const int64_t n = std::min(size, end - start);
        for (int64_t i = 0; i < n; ++i) places[i] += Load(values[start + i]);
      }
      Fold(places, channels, means);
      for (int64_t c = 0; c < channels; ++c) centre[c] = means[c] /= (end - begin) / channels;
      const auto centres = Repeat(centre.data(), channels, size);
      std::fill(places.begin(), places.end(), 0.0f);
      for (int64_t start = begin; start < end; start += size) {
        const int64_t n = std::min(size, end - start);
        for (int64_t i = 0; i < n; ++i) {
          const float x = Load(values[start + i]) - centres[i];
          places[i] += x * x;
        }
      }
      Fold(places, channels, means + channels);
    }
  }
  for (int64_t c = 0; c < channels; ++c) {
    double m = 0, squares = 0;
    for (int64_t p = 0; p < parts; ++p) {
      const double before = p * part_rows, count = std::min(part_rows, rows - p * part_rows);
      const double difference = of_parts[p * width + c] - m;
      m += difference * count / (before + count);
      squares += of_parts[p * width + channels + c] + difference * difference * before * count / (before + count);
    }
    mean[c] = m;
    variance[c] = squares / rows;
  }
}

// grads <- grads * scale + values * slope + offset, each a channel.
template <typename Scalar>
void Combine(Scalar* grads, const Scalar* values, int64_t rows, int64_t channels, int64_t num_threads,
             const float* scale, const float* slope, const float* offset) {
  const int64_t size = Rows(512, channels) * channels, total = rows * channels;
  const auto scales = Repeat(scale, channels, size), slopes = Repeat(slope, channels, size),
             offsets = Repeat(offset, channels, size);
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t start = 0; start < total; start += size) {
    const int64_t n = std::min(size, total - start);
    const Scalar* __restrict value = values + start;
    Scalar* __restrict grad = grads + start;
    for (int64_t i = 0; i < n; ++i) {
      Store(Load(grad[i]) * scales[i] + (Load(value[i]) * slopes[i] + offsets[i]), grad + i);
    }
  }
}

template <typename Scalar>
void ForwardAny(const Neuron& neuron, const float* scale, const float* shift, const void* currents, void* outputs) {
  auto run = neuron.reset_to_zero ? Forward<true, Scalar> : Forward<false, Scalar>;
  run(neuron, scale, shift, static_cast<const Scalar*>(currents), static_cast<Scalar*>(outputs));
}

template <typename Scalar>
void BackwardAny(const Neuron& neuron, const float* scale, const float* shift, const float* centre,
                 const void* currents, const void* grad_outputs, void* grads, double* sums) {
  constexpr decltype(&Backward<Triangle, true, Scalar>) kRun[][2] = {
      {Backward<Triangle, false, Scalar>, Backward<Triangle, true, Scalar>},
      {Backward<Rectangle, false, Scalar>, Backward<Rectangle, true, Scalar>},
      {Backward<Sigmoid, false, Scalar>, Backward<Sigmoid, true, Scalar>},
      {Backward<Arctan, false, Scalar>, Backward<Arctan, true, Scalar>},
  };
  kRun[neuron.surrogate][neuron.reset_to_zero](neuron, scale, shift, centre, static_cast<const Scalar*>(currents),
                                               static_cast<const Scalar*>(grad_outputs), static_cast<Scalar*>(grads),
                                               sums);
}

}  // namespace
}  // namespace qsnn

using qsnn::BFloat16;
using qsnn::Neuron;

// bfloat16: the format of the tensors, else float. Values of channels are float, sums double.
extern "C" {

void qsnn_moments(int64_t bfloat16, const void* values, int64_t rows, int64_t channels, int64_t num_threads,
                  float* mean, float* variance) {
  if (bfloat16) {
    qsnn::Moments(static_cast<const BFloat16*>(values), rows, channels, num_threads, mean, variance);
  } else {
    qsnn::Moments(static_cast<const float*>(values), rows, channels, num_threads, mean, variance);
  }
}

void qsnn_fire_forward(int64_t bfloat16, const Neuron* neuron, const float* scale, const float* shift,
                       const void* currents, void* outputs) {
  (bfloat16 ? qsnn::ForwardAny<BFloat16> : qsnn::ForwardAny<float>)(*neuron, scale, shift, currents, outputs);
}

void qsnn_fire_backward(int64_t bfloat16, const Neuron* neuron, const float* scale, const float* shift,
                        const float* centre, const void* currents, const void* grad_outputs, void* grads,
                        double* sums) {
  (bfloat16 ? qsnn::BackwardAny<BFloat16> : qsnn::BackwardAny<float>)(*neuron, scale, shift, centre, currents,
                                                                      grad_outputs, grads, sums);
}

void qsnn_combine(int64_t bfloat16, void* grads, const void* values, int64_t rows, int64_t channels,
                  int64_t num_threads, const float* scale, const float* slope, const float* offset) {
  if (bfloat16) {
    qsnn::Combine(static_cast<BFloat16*>(grads), static_cast<const BFloat16*>(values), rows, channels, num_threads,
                  scale, slope, offset);
  } else {
    qsnn::Combine(static_cast<float*>(grads), static_cast<const float*>(values), rows, channels, num_threads, scale,
                  slope, offset);
  }
}
}
