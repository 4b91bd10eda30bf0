// The two number formats of the tensors, read and written as float.

#ifndef PYNQ_QSNN_TRAINING_SCALAR_H_
#define PYNQ_QSNN_TRAINING_SCALAR_H_

#include <cstdint>
#include <cstring>

namespace qsnn {

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

}  // namespace qsnn

#endif  // PYNQ_QSNN_TRAINING_SCALAR_H_
