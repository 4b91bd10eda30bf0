// The surrogate gradients of pynq_qsnn/training/surrogate.py, in arithmetic that the compiler vectorizes.

#ifndef PYNQ_QSNN_TRAINING_SURROGATE_H_
#define PYNQ_QSNN_TRAINING_SURROGATE_H_

#include <cmath>
#include <cstdint>
#include <cstring>

namespace qsnn {

constexpr float kSlope = 4.0f;  // SLOPE of surrogate.py

// A comparison with NaN is false, and the result then the NaN, as torch's clamp has it.
inline float Clip(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

// e^x = 2^n e^f with |f| <= ln2 / 2, by the Taylor polynomial of degree 6: relative error below 2e-7.
inline float Exp(float x) {
  constexpr float kPerLog2 = 1.44269504f, kLog2High = 0.693359375f, kLog2Low = -2.12194440e-4f;
  constexpr float kInteger = 12582912.0f;  // 1.5 * 2^23: a sum with it has the nearest integer in its low bits
  x = Clip(x, -87.0f, 88.0f);
  const float shifted = x * kPerLog2 + kInteger;
  const float n = shifted - kInteger;
  const float f = (x - n * kLog2High) - n * kLog2Low;
  float p = 1.0f / 720;
  for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = p * f + c;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23;  // 2^n
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
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
  return std::copysign(a > 1.0f ? 1.57079633f - p * z : p * z, x);
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

}  // namespace qsnn

#endif  // PYNQ_QSNN_TRAINING_SURROGATE_H_
