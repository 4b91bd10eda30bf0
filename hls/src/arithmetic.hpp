// Leaf arithmetic: loop-free, values in, references out. pynq_qsnn/neuron.py is its specification, to the bit.
#pragma once

#include "fabric_int.hpp"
#include "hls_macros.hpp"
#include "types.hpp"

// ---- mode W: two products on one DSP48E2
// ------------------------------------------------------------------------------- (x0 + x1 << 18) * w holds x0 * w in
// the low 18 bits and x1 * w above them, less one where the low product is negative. A cascade of 4 keeps |sum of x0 *
// w| <= 4 * 255 * 127 = 129,540 < 2^17, so the low field never overflows and the split is exact. w = -128 would reach
// 130,560, still inside, but is excluded by the contract.
constexpr int kFieldBits = 18;
constexpr int kPackedBits = kFieldBits + 8 + 1;  // 27, port A of the DSP; the value is never negative
typedef fabric_int<kPackedBits> packed_t;
typedef fabric_int<kPackedBits + 8> product_t;
typedef fabric_int<kPackedBits + 8 + 2> cascade_t;
typedef fabric_int<kFieldBits + 1> field_t;

static_assert(hw::kCascadeLength == 4 && kInputLanes % 4 == 0, "a cascade is four products");
static_assert(hw::kCascadeLength * 255 * hw::kMaximumWeight < 1 << (kFieldBits - 1), "the low field holds a cascade");

inline packed_t pack(uint8_t low, uint8_t high) {
  HLS(INLINE)
  return packed_t(int32_t(low) | (int32_t(high) << kFieldBits));
}

inline product_t multiply(packed_t x, int8_t w) {
  HLS(INLINE)
  return fabric_multiply<kPackedBits, 8>(x, fabric_int<8>(w));
}

inline void split(cascade_t cascade, field_t& low, field_t& high) {
  HLS(INLINE)
  constexpr int kUnused = 32 - kFieldBits;
  low = int32_t(uint32_t(cascade) << kUnused) >> kUnused;  // the low 18 bits, read as a signed number
  // Subtracting the low sum returns the borrow that it took from the high field.
  high = int32_t((cascade - low) >> kFieldBits);
}

// ---- the integration unit
// ----------------------------------------------------------------------------------------------
struct ChannelParameters {
  int32_t bias;
  int32_t initial_membrane;
  ap_int<hw::kMultiplierBits> multiplier;
  ap_int<hw::kMultiplierBits> skip_multiplier;
  ap_uint<hw::channel_parameters::kShiftBits> shift;
  ap_uint<hw::channel_parameters::kSkipShiftBits> skip_shift;
};

inline ChannelParameters decode_parameters(const word_t& word) {
  HLS(INLINE)
  using namespace hw::channel_parameters;
  ChannelParameters p;
  p.bias = ap_int<32>(word.range(kBiasLsb + kBiasBits - 1, kBiasLsb));
  p.initial_membrane = ap_int<32>(word.range(kInitialMembraneLsb + kInitialMembraneBits - 1, kInitialMembraneLsb));
  p.multiplier = word.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb);
  p.skip_multiplier = word.range(kSkipMultiplierLsb + kSkipMultiplierBits - 1, kSkipMultiplierLsb);
  p.shift = word.range(kShiftLsb + kShiftBits - 1, kShiftLsb);
  p.skip_shift = word.range(kSkipShiftLsb + kSkipShiftBits - 1, kSkipShiftLsb);
  return p;
}

typedef ap_int<33> current_t;       // saturated scale plus bias
typedef ap_int<27> skip_current_t;  // 8 x 18 bits
typedef ap_int<36> charge_t;        // v - (v >> leak) + u + residual

inline int32_t saturate32(ap_int<52> x) {
  HLS(INLINE)
  if (x > INT32_MAX) return INT32_MAX;
  if (x < INT32_MIN) return INT32_MIN;
  return int32_t(x);
}

// Half of the last place for a rounding right shift: 0 for no shift.
inline ap_uint<hw::kMaximumShift> rounding_half(ap_uint<6> shift) {
  HLS(INLINE)
  return (ap_uint<hw::kMaximumShift + 1>(1) << shift) >> 1;
}

inline current_t scale(int32_t acc, const ChannelParameters& p) {
  HLS(INLINE)
  const ap_int<50> product = ap_int<32>(acc) * p.multiplier;  // two DSPs: 32 x 18
  const ap_int<51> rounded = product + rounding_half(p.shift);
  return current_t(saturate32(rounded >> p.shift)) + p.bias;
}

inline skip_current_t skip_current(uint8_t code, const ChannelParameters& p) {
  HLS(INLINE)
  const ap_int<27> product = ap_int<9>(code) * p.skip_multiplier;
  const ap_int<50> rounded = product + ap_int<50>(rounding_half(p.skip_shift));
  return skip_current_t(rounded >> p.skip_shift);
}

inline int32_t charge(int32_t v, current_t u, skip_current_t residual, bool leak_enable, ap_uint<5> leak_shift) {
  HLS(INLINE)
  const int32_t leak = leak_enable ? int32_t(v >> int(leak_shift)) : 0;
  const charge_t sum = charge_t(v) - leak + u + residual;
  return saturate32(sum);
}

inline uint8_t fire(int32_t v, uint8_t s_max) {
  HLS(INLINE)
  const int32_t thresholds = v >> hw::kFractionBits;  // the threshold is 1 << 16; equality fires
  if (thresholds < 0) return 0;
  return thresholds > s_max ? s_max : uint8_t(thresholds);
}

inline int32_t reset(int32_t v, uint8_t s, bool to_zero) {
  HLS(INLINE)
  if (to_zero) return s ? 0 : v;
  return v - (int32_t(s) << hw::kFractionBits);
}

// Spike-domain residual: codes add and saturate.
inline uint8_t add_spikes(uint8_t s, uint8_t k, uint8_t s_max) {
  HLS(INLINE)
  const int sum = int(s) + int(k);
  return sum > s_max ? s_max : uint8_t(sum);
}

// ---- codes in a word
// ---------------------------------------------------------------------------------------------------- Place of step
// `step` in a train of `bits`-bit codes. Codes are powers of two wide and never straddle a byte.
inline void train_place(int step, int bits, int& word, int& bit) {
  HLS(INLINE)
  const int first = step * bits;
  word = first >> 3;
  bit = first & 7;
}

// Byte lane c of the word holds channel c: take the code at `bit` of each.
inline void extract_codes(const word_t& word, int bit, int bits, uint8_t code[kInputLanes]) {
  HLS(INLINE)
  const unsigned mask = (1u << bits) - 1;
  const uint64_t low = word.range(63, 0).to_uint64(), high = word.range(127, 64).to_uint64();
  for (int c = 0; c < kInputLanes; ++c) {
    UNROLL
    const uint64_t half = c < 8 ? low : high;
    code[c] = (unsigned(half >> (8 * (c & 7))) >> bit) & mask;
  }
}

// 16 codes, each at `bit` of its byte lane.
inline word_t place_codes(const uint8_t code[kInputLanes], int bit) {
  HLS(INLINE)
  uint64_t low = 0, high = 0;
  for (int lane = 0; lane < kInputLanes; ++lane) {
    UNROLL
    const uint64_t byte = uint64_t(code[lane]) << bit << (8 * (lane & 7));
    if (lane < 8) {
      low |= byte;
    } else {
      high |= byte;
    }
  }
  word_t word = high;
  word <<= 64;
  word |= word_t(low);
  return word;
}

// Maximum of each `bits`-bit code in two bytes.
inline uint8_t maximum_codes(uint8_t a, uint8_t b, int bits) {
  HLS(INLINE)
  uint8_t result = 0;
  for (int width = 1; width <= 8; width *= 2) {
    UNROLL
    for (int bit = 0; bit < 8; bit += width) {
      UNROLL
      const uint8_t mask = uint8_t(((1 << width) - 1) << bit);
      const uint8_t larger = (a & mask) > (b & mask) ? uint8_t(a & mask) : uint8_t(b & mask);
      if (width == bits) result |= larger;
    }
  }
  return result;
}
