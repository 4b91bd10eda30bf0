// Charge, fire and reset of a layer over all its steps, and the surrogate gradient: pynq_qsnn/training/lif.py, whose
// torch code is the definition. A block of neurons goes through every step while its membranes are in the first-level
// cache. The membranes are not kept for the backward pass, which computes them again from the currents: the same
// instructions on the same values, hence the same bits.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr float kSlope = 4.0f;  // SLOPE of surrogate.py

struct Neuron {
  int64_t num_neurons;  // of one step
  int64_t num_steps;
  int64_t replay;  // the currents are those of one step, and every step receives them
  float threshold;
  float s_max;
  float keep;  // share of the membrane that a step leaves: 1 - 2^-leak_shift
  int64_t reset_to_zero;
  int64_t surrogate;  // index into SURROGATES of native_fire.py
  int64_t num_threads;
};

struct BFloat16 {
  uint16_t bits;
};

inline float Load(float x) { return x; }

inline float Load(BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void Store(float value, float* x) { *x = value; }

inline void Store(float value, BFloat16* x) {  // to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  x->bits = static_cast<uint16_t>(value != value ? 0x7FC0 : rounded);
}

// A comparison with NaN is false, and its result here the NaN, as torch's clamp has it.
inline float Clip(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

inline float Code(float r, float s_max) { return Clip(std::floor(r), 0.0f, s_max); }

// e^x by 2^n e^f with |f| <= ln2 / 2 and the Taylor polynomial of degree 6; relative error below 2e-7.
inline float Exp(float x) {
  x = Clip(x, -87.0f, 88.0f);
  const float shifted = x * 1.442695041f + 12582912.0f;  // 1.5 * 2^23: the integer lands in the low bits
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const float n = shifted - 12582912.0f;
  const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 720;
  for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = p * f + c;
  const uint32_t power = (bits << 23) + (127u << 23);
  float scale;
  std::memcpy(&scale, &power, sizeof scale);
  return p * scale;
}

// Abramowitz and Stegun, Handbook of Mathematical Functions, 4.4.49: error below 2e-8 on [-1, 1].
inline float Atan(float x) {
  const float a = std::fabs(x);
  const float z = a > 1.0f ? 1.0f / a : a;
  const float q = z * z;
  float p = 0.0028662257f;
  for (const float c : {-0.0161657367f, 0.0429096138f, -0.0752896400f, 0.1065626393f, -0.1420889944f, 0.1999355085f,
                        -0.3333314528f, 1.0f}) {
    p = p * q + c;
  }
  const float y = a > 1.0f ? 1.57079632679f - p * z : p * z;
  return std::copysign(y, x);
}

struct Triangle {
  static float At(float r, float s_max) {
    const float centre = (s_max + 1) * 0.5f;
    return Clip(centre + 1 - std::fabs(r - centre), 0.0f, 1.0f);
  }
};

struct Rectangle {
  static float At(float r, float s_max) { return r > 0 && r < s_max + 1 ? 1.0f : 0.0f; }
};

struct Sigmoid {
  static float At(float r, float s_max) {
    return 1.0f / ((1 + Exp(-kSlope * r)) * (1 + Exp(-kSlope * (s_max + 1 - r))));
  }
};

struct Arctan {
  static float At(float r, float s_max) {
    constexpr float kPerPi = 0.318309886f;
    return (Atan(kSlope * r) * kPerPi + 0.5f) * (Atan(kSlope * (s_max + 1 - r)) * kPerPi + 0.5f);
  }
};

constexpr int64_t kCacheFloats = 4096;  // of a block's membranes: 16 KiB

int64_t BlockSize(int64_t num_steps) { return std::clamp<int64_t>(kCacheFloats / num_steps, 16, 512); }

// membrane of the next step, before it fires: what the last step left, and the current.
template <bool kZero, typename Scalar>
inline void Charge(const Neuron& neuron, const Scalar* current, bool first, const float* before, float* r, int64_t n) {
  const float threshold = neuron.threshold, s_max = neuron.s_max, keep = neuron.keep;
  if (first) {
    for (int64_t i = 0; i < n; ++i) r[i] = Load(current[i]) / threshold;
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const float code = Code(before[i], s_max);
    const float left = kZero ? (code == 0 ? before[i] : 0.0f) : before[i] - code;
    r[i] = Load(current[i]) / threshold + keep * left;
  }
}

template <bool kZero, typename Scalar>
void Forward(const Neuron& neuron, const Scalar* currents, Scalar* outputs) {
  const int64_t size = BlockSize(1), total = neuron.num_neurons;
#pragma omp parallel for num_threads(neuron.num_threads) schedule(static)
  for (int64_t start = 0; start < total; start += size) {
    float r[512];
    const int64_t n = std::min(size, total - start);
    for (int64_t t = 0; t < neuron.num_steps; ++t) {
      const Scalar* current = currents + (neuron.replay ? 0 : t * total) + start;
      Scalar* output = outputs + t * total + start;
      Charge<kZero>(neuron, current, t == 0, r, r, n);
      for (int64_t i = 0; i < n; ++i) Store(Code(r[i], neuron.s_max) * neuron.threshold, output + i);
    }
  }
}

template <typename Surrogate, bool kZero, typename Scalar>
void Backward(const Neuron& neuron, const Scalar* currents, const Scalar* grad_outputs, Scalar* grad_currents) {
  const int64_t size = BlockSize(neuron.num_steps), total = neuron.num_neurons, num_steps = neuron.num_steps;
#pragma omp parallel num_threads(neuron.num_threads)
  {
    std::vector<float> membranes(num_steps * size), carried(size), sum(size);
#pragma omp for schedule(static)
    for (int64_t start = 0; start < total; start += size) {
      const int64_t n = std::min(size, total - start);
      for (int64_t t = 0; t < num_steps; ++t) {
        const Scalar* current = currents + (neuron.replay ? 0 : t * total) + start;
        float* r = membranes.data() + t * size;
        Charge<kZero>(neuron, current, t == 0, r - size, r, n);
      }
      std::fill(carried.begin(), carried.end(), 0.0f);
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t t = num_steps - 1; t >= 0; --t) {
        const float* r = membranes.data() + t * size;
        const Scalar* grad_output = grad_outputs + t * total + start;
        for (int64_t i = 0; i < n; ++i) {
          const float back = kZero && !(r[i] < 1.0f) ? 0.0f : carried[i];
          carried[i] = Surrogate::At(r[i], neuron.s_max) * Load(grad_output[i]) + neuron.keep * back;
        }
        if (neuron.replay) {
          for (int64_t i = 0; i < n; ++i) sum[i] += carried[i];
        } else {
          Scalar* grad_current = grad_currents + t * total + start;
          for (int64_t i = 0; i < n; ++i) Store(carried[i], grad_current + i);
        }
      }
      if (neuron.replay) {
        for (int64_t i = 0; i < n; ++i) Store(sum[i], grad_currents + start + i);
      }
    }
  }
}

template <typename Surrogate, typename Scalar>
void Backward(const Neuron& neuron, const void* currents, const void* grad_outputs, void* grad_currents) {
  auto run = neuron.reset_to_zero ? Backward<Surrogate, true, Scalar> : Backward<Surrogate, false, Scalar>;
  run(neuron, static_cast<const Scalar*>(currents), static_cast<const Scalar*>(grad_outputs),
      static_cast<Scalar*>(grad_currents));
}

template <typename Scalar>
void Forward(const Neuron& neuron, const void* currents, void* outputs) {
  auto run = neuron.reset_to_zero ? Forward<true, Scalar> : Forward<false, Scalar>;
  run(neuron, static_cast<const Scalar*>(currents), static_cast<Scalar*>(outputs));
}

template <typename Scalar>
void Backward(const Neuron& neuron, const void* currents, const void* grad_outputs, void* grad_currents) {
  using Function = void (*)(const Neuron&, const void*, const void*, void*);
  static const Function functions[] = {Backward<Triangle, Scalar>, Backward<Rectangle, Scalar>,
                                       Backward<Sigmoid, Scalar>, Backward<Arctan, Scalar>};
  functions[neuron.surrogate](neuron, currents, grad_outputs, grad_currents);
}

}  // namespace

extern "C" {

// Arrays are dense, step-major: [num_steps, num_neurons], currents [num_neurons] with replay; float, or bfloat16.
void qsnn_fire_forward(const Neuron* neuron, int64_t bfloat16, const void* currents, void* outputs) {
  (bfloat16 ? Forward<BFloat16> : Forward<float>)(*neuron, currents, outputs);
}

void qsnn_fire_backward(const Neuron* neuron, int64_t bfloat16, const void* currents, const void* grad_outputs,
                        void* grad_currents) {
  (bfloat16 ? Backward<BFloat16> : Backward<float>)(*neuron, currents, grad_outputs, grad_currents);
}
}
