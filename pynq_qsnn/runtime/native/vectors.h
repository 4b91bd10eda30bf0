// Short vectors in GCC's portable extension: one source for AVX-512, AVX2 and NEON.
#pragma once

#include <cstdint>
#include <cstring>

namespace qsnn {

constexpr int kLanes = 16;  // output channels of one vector of sums

typedef int8_t Int8x16 __attribute__((vector_size(16)));
typedef uint8_t Uint8x16 __attribute__((vector_size(16)));
typedef int16_t Int16x16 __attribute__((vector_size(32)));
typedef int32_t Int32x16 __attribute__((vector_size(64)));
typedef float Float32x16 __attribute__((vector_size(64)));
typedef int64_t Int64x8 __attribute__((vector_size(64)));

template <typename Vector>
inline Vector Load(const void* address) {
  Vector value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

template <typename Vector>
inline void Store(void* address, Vector value) {
  std::memcpy(address, &value, sizeof value);
}

template <typename To, typename From>
inline To Convert(From value) {
  return __builtin_convertvector(value, To);
}

// In two steps: GCC 12 takes a direct conversion of 8-bit lanes apart into scalars.
inline Int32x16 Widen(Uint8x16 codes) { return Convert<Int32x16>(Convert<Int16x16>(codes)); }

template <typename Vector, typename Bound>
inline Vector Clamp(Vector value, Bound low, Bound high) {
  const Vector bottom = Vector{} + low;
  const Vector top = Vector{} + high;
  value = value > bottom ? value : bottom;
  return value < top ? value : top;
}

// Store the first `valid` lanes; the bytes behind them belong to the next pixel.
template <typename Vector>
inline void StoreFirst(uint8_t* address, Vector value, int valid) {
  if (valid >= static_cast<int>(sizeof value)) {
    Store(address, value);
  } else if (valid > 0) {
    std::memcpy(address, &value, valid);
  }
}

}  // namespace qsnn
