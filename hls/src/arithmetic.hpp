// Leaf arithmetic: loop-free, values in, references out. pynq_qsnn/neuron.py is its specification, to the bit.
#pragma once

#include "fabric_int.hpp"
#include "hls_macros.hpp"
#include "types.hpp"

#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__) || defined(QSNN_EXACT_WIDTHS)
#else
#include <string.h>
#endif

// ---- mode W: two products on one DSP48E2

// (x0 + x1 << 18) * w holds x0 * w in the low 18 bits and x1 * w above them, less one where the low product is
// negative. A cascade of 4 keeps |sum of x0 * w| <= 4 * 255 * 127 = 129,540 < 2^17, so the low field never overflows
// and the split is exact. w = -128 would reach 130,560, still inside, but is excluded by the contract.
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

typedef fabric_int<hw::kMultiplierBits> multiplier_t;

struct ChannelParameters {
  int32_t bias;
  int32_t initial_membrane;
  multiplier_t multiplier;
  multiplier_t skip_multiplier;
  uint8_t shift;
  uint8_t skip_shift;
};

inline ChannelParameters decode_parameters(const word_t& word) {
  HLS(INLINE)
  using namespace hw::channel_parameters;
  ChannelParameters p;
  p.bias = ap_int<32>(word.range(kBiasLsb + kBiasBits - 1, kBiasLsb));
  p.initial_membrane = ap_int<32>(word.range(kInitialMembraneLsb + kInitialMembraneBits - 1, kInitialMembraneLsb));
  p.multiplier = ap_int<kMultiplierBits>(word.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb));
  p.skip_multiplier =
      ap_int<kSkipMultiplierBits>(word.range(kSkipMultiplierLsb + kSkipMultiplierBits - 1, kSkipMultiplierLsb));
  p.shift = ap_uint<kShiftBits>(word.range(kShiftLsb + kShiftBits - 1, kShiftLsb));
  p.skip_shift = ap_uint<kSkipShiftBits>(word.range(kSkipShiftLsb + kSkipShiftBits - 1, kSkipShiftLsb));
  return p;
}

static_assert(hw::kMultiplierBits == 18 && hw::kMaximumShift == 48, "widths below");
typedef fabric_int<33> current_t;  // saturated scale plus bias
typedef fabric_int<36> charge_t;   // v - (v >> leak) + u + residual
typedef fabric_int<52> wide_t;     // 32 x 18 bits, and the last bit shifted out

inline int32_t saturate32(wide_t x) {
  HLS(INLINE)
  return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : int32_t(x);
}

// One scale unit: two DSPs (32 x 18 bits), a shifter, a saturation, one adder. Rounding half up adds the last bit that
// is shifted out: the carry of the adder that the bias needs anyway, unless the value saturates. A function of its own,
// so that a tool can count the units. II = 1: nothing returns.
inline current_t scale(int32_t acc, multiplier_t multiplier, int shift, int32_t bias) {
  HLS(INLINE off)
  HLS(PIPELINE II = 1)
  const wide_t product = fabric_multiply<32, hw::kMultiplierBits>(fabric_int<32>(acc), multiplier);
  HLS(BIND_OP variable = product op = mul impl = dsp)
  const wide_t shifted = (product + product) >> shift;
  const wide_t floor = shifted >> 1;
  const int32_t clipped = saturate32(floor);
  const bool carry = (int(shifted) & 1) && clipped == floor && clipped != INT32_MAX;
  return current_t(clipped) + bias + int(carry);
}

inline int32_t charge(int32_t v, charge_t input, bool leak_enable, int leak_shift) {
  HLS(INLINE)
  const int32_t leak = leak_enable ? int32_t(v >> leak_shift) : 0;
  const charge_t sum = charge_t(v) - leak + input;
  return saturate32(sum);
}

inline uint8_t fire(int32_t v, uint8_t s_max) {
  HLS(INLINE)
  const int32_t thresholds = v >> hw::kFractionBits;  // the threshold is 1 << 16; equality fires
  return thresholds < 0 ? 0 : thresholds > s_max ? s_max : uint8_t(thresholds);
}

inline int32_t reset(int32_t v, uint8_t s, bool to_zero) {
  HLS(INLINE)
  return to_zero ? (s ? 0 : v) : v - (int32_t(s) << hw::kFractionBits);
}

// Spike-domain residual k of the fired code s.
inline uint8_t add_residual(uint8_t s, uint8_t k, int skip_mode, uint8_t s_max) {
  HLS(INLINE)
  const int sum = int(s) + int(k);
  const uint8_t added = sum > s_max ? s_max : uint8_t(sum);
  const uint8_t vetoed = uint8_t(~s & k & 1);
  return skip_mode == hw::skip::kSpike ? added : skip_mode == hw::skip::kIand ? vetoed : s;
}

// ---- addresses

// Operands of address products, no wider than the instruction's fields and the banks ask: each product is one DSP.
// Beyond that lie only places outside a map and tensors that nothing reads, and their addresses are not used.
typedef fabric_int<13> place_t;  // row, column, tile
typedef fabric_int<18> words_t;  // of a part of a tensor, which is no larger than a bank
static_assert(hw::instruction::kInputHeightBits <= 12 && hw::instruction::kInputWidthBits <= 12 &&
                  hw::instruction::kOutputHeightBits <= 12 && hw::instruction::kInputChannelTilesBits <= 12 &&
                  hw::instruction::kSkipHeightBits <= 12 && hw::instruction::kOutputChannelTilesBits <= 12,
              "place_t is one bit wider");
static_assert(kBankWords < 1 << 17 && hw::instruction::kRowStrideBits <= 4, "words_t and strides have a sign");

inline int words_before(int place, int words) {
  HLS(INLINE)
  return int(fabric_multiply<13, 18>(place_t(place), words_t(words)));
}

// Where a window begins: a row or column of the output times the stride.
inline int window_start(int place, int stride) {
  HLS(INLINE)
  return int(fabric_multiply<13, 5>(place_t(place), fabric_int<5>(stride)));
}

// ---- codes in a word

// Place of step `step` in a train of `bits`-bit codes. Codes are powers of two wide and never straddle a byte.
inline void train_place(int step, int bits, int& word, int& bit) {
  HLS(INLINE)
  const int first = step * bits;
  word = first >> 3;
  bit = first & 7;
}

constexpr uint64_t kEachByte = 0x0101010101010101;

// Channels 0..7 and 8..15 of a word. In the fabric wires; ap_uint's way there takes g++ longer than all the rest.
inline void split_word(const word_t& word, uint64_t& low, uint64_t& high) {
  HLS(INLINE)
#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__) || defined(QSNN_EXACT_WIDTHS)
  low = word.range(63, 0).to_uint64();
  high = word.range(127, 64).to_uint64();
#else
  const void* const bytes = &word;
  memcpy(&low, bytes, 8);
  memcpy(&high, static_cast<const char*>(bytes) + 8, 8);
#endif
}

inline word_t join_word(uint64_t low, uint64_t high) {
  HLS(INLINE)
  word_t word;
#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__) || defined(QSNN_EXACT_WIDTHS)
  word.range(63, 0) = low;
  word.range(127, 64) = high;
#else
  void* const bytes = &word;
  memcpy(bytes, &low, 8);
  memcpy(static_cast<char*>(bytes) + 8, &high, 8);
#endif
  return word;
}

// Byte lane c of the word holds channel c: take the code at `bit` of each. What a shift of the whole half drags over
// from the next byte lies above the code, where the mask is zero.
inline void extract_codes(const word_t& word, int bit, int bits, uint8_t code[kInputLanes]) {
  HLS(INLINE)
  const uint64_t mask = ((1u << bits) - 1) * kEachByte;
  uint64_t low, high;
  split_word(word, low, high);
  for (int c = 0; c < 8; ++c) {
    UNROLL
    code[c] = uint8_t((low >> bit & mask) >> (8 * c));
    code[8 + c] = uint8_t((high >> bit & mask) >> (8 * c));
  }
}

// The code of a step from its byte of a train.
inline uint8_t code_of_byte(uint8_t byte, int bit, int bits) {
  HLS(INLINE)
  return uint8_t(byte >> bit) & uint8_t((1 << bits) - 1);
}

// 16 codes, each at `bit` of its byte lane.
inline word_t place_codes(const uint8_t code[kInputLanes], int bit) {
  HLS(INLINE)
  uint64_t low = 0, high = 0;
  for (int c = 0; c < 8; ++c) {
    UNROLL
    low |= uint64_t(code[c]) << (8 * c);
    high |= uint64_t(code[8 + c]) << (8 * c);
  }
  return join_word(low << bit, high << bit);
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

// ---- nibbles

// A nibble of a train holds 4, 2 or 1 codes of 1, 2, 4 bits; its plane p is bit p of the nibble.
constexpr int kNibbleBits = 4;

inline int steps_of_nibble(int bits) {
  HLS(INLINE)
  return kNibbleBits >> (bits >> 1);
}
