// One row of the multiplier array, bit-true to how it packs operands into DSP48E2s: 4 output lanes x 16 input lanes x
// 4 slots on 128 DSPs, in the three modes of hw::mode. hls/rtl/mac_row.v is the same function in Verilog (hls/rtl/test
// compares them cycle by cycle); Vitis HLS can synthesize this file too, modes W and Q on the same 128 multipliers.
//
//   sum[part][slot][row], over the 16 input lanes:
//   W  kMultiply8  part 0: u8 code * int8 weight
//   Q  kMultiply4  part h: u4 code * int4 weight of output lane 2 * row + h; h = 0 is the low nibble of the weight byte
//   M  kMuxAdd     part p: int8 weight + 128 where bit p of the code is set (four bit planes in the low nibble)
//
// Parts that a mode does not name are 0. The 128 of each set bit (count_spikes) is taken off once, behind all rows and
// taps. Operands are shared by the 8 rows of the array, weights by the cycles of a
// tap: prepare_operands and pack_weights do once what the fabric does with wires.
#pragma once

#include "arithmetic.hpp"

constexpr int kMacRows = 4;
constexpr int kMacPairs = kSlots / 2;
// Packed products that share an input lane: [slot pair][row].
constexpr int kMacProducts = kMacPairs * kMacRows;
// Cascades of mode M: [plane][slot].
constexpr int kMacChains = kParts * kSlots;
constexpr int kMacCascades = kInputLanes / hw::kCascadeLength;

static_assert(kParts == 4, "four bit planes in a nibble");
static_assert(kSlots % 2 == 0 && kMacCascades % 2 == 0, "slots come in pairs, cascades of 4 in pairs");

// ---- mode Q: A = x0 + x1 << 22, B = w0 + w1 << 11: four products in fields of 11 bits. A cascade of 8 is exact: each
// field holds 8 products, -8 * 15 * 8 = -960 to 8 * 15 * 7 = 840. With 1024 added to the lower three they are never
// negative, no field borrows from the next, and taking 1024 off again is inverting the top bit. In the fabric the bias
// enters through port C of the cascade's first DSP.
constexpr int kQuadCascade = 2 * hw::kCascadeLength;
constexpr int kQuadBits = 11;
constexpr int kQuadHalf = 1 << (kQuadBits - 1);
constexpr int64_t kQuadBias = (int64_t(1) + (int64_t(1) << kQuadBits) + (int64_t(1) << (2 * kQuadBits)))
                              << (kQuadBits - 1);
constexpr int kPairBits = kQuadBits + 4 + 1;  // -8 - 8 * 2048 is below -2^14
typedef fabric_int<kPairBits> pair_t;         // two int4 weights, or one int8
typedef fabric_int<kPackedBits + kPairBits + 3> mac_cascade_t;
typedef fabric_int<kQuadBits> quad_field_t;

static_assert(2 * kQuadBits + 4 < kPackedBits, "port A holds two u4 codes and a zero sign");
static_assert(kPairBits <= 18, "port B holds two int4 weights");
static_assert(kQuadCascade * 15 * 8 <= kQuadHalf && kQuadCascade * 15 * 7 < kQuadHalf, "a field holds a cascade of 8");
static_assert(4 * kQuadBits <= 48, "four fields fit the 48 bits of a DSP");

// ---- mode M: 48 bits hold w + 128 of four rows in fields of 12. 16 terms of at most 255 stay below 4096: no field
// carries into the next. They come out as they are, unsigned.
constexpr int kMuxBits = 12;
constexpr int kMuxOffset = 128;
typedef uint64_t mux_t;

static_assert(kInputLanes * (hw::kMaximumWeight + kMuxOffset) < 1 << kMuxBits, "a field holds the sum of all lanes");
static_assert(kMacRows * kMuxBits == 48, "a field for each row");

// Operands of one cycle, as the DSPs of every row see them.
struct MacOperands {
  packed_t packed[kInputLanes][kMacProducts];  // port A in W and Q
  mux_t gate[kInputLanes][kMacChains];         // M: all ones where the bit is set, the OPMODE of the DSP
};

// Weights of one row, as its DSPs see them.
struct MacWeights {
  pair_t factor[kInputLanes][kMacProducts];  // port B in W and Q
  mux_t fields[kInputLanes];                 // A:B or C in M
};

inline packed_t pack_quad(uint8_t low, uint8_t high) {
  HLS(INLINE)
  return packed_t(int32_t(low & 15) | (int32_t(high & 15) << (2 * kQuadBits)));
}

inline pair_t pack_weight_pair(uint8_t nibbles) {
  HLS(INLINE)
  const int32_t low = int32_t((nibbles & 15) ^ 8) - 8, high = int32_t((nibbles >> 4) ^ 8) - 8;
  return pair_t(low + high * (1 << kQuadBits));
}

// `cascade` carries kQuadBias.
inline void split_quad(mac_cascade_t cascade, quad_field_t field[4]) {
  HLS(INLINE)
  const uint64_t bits = uint64_t(int64_t(cascade));
  for (int i = 0; i < 3; ++i) {
    UNROLL
    field[i] = quad_field_t(int32_t(uint32_t(bits >> (i * kQuadBits)) & (2 * kQuadHalf - 1)) - kQuadHalf);
  }
  field[3] = quad_field_t(int32_t(int64_t(bits) >> (3 * kQuadBits)));
}

inline void prepare_operands(int mode, const uint8_t operand[kSlots][kInputLanes], MacOperands& prepared) {
  HLS(INLINE)
  if (mode == hw::mode::kMuxAdd) {
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      uint64_t codes = 0;
      for (int slot = 0; slot < kSlots; ++slot) {
        UNROLL
        codes |= uint64_t(operand[slot][lane]) << (8 * slot);
      }
      VECTOR_LOOP
      for (int chain = 0; chain < kMacChains; ++chain) {
        UNROLL
        prepared.gate[lane][chain] = mux_t(0) - ((codes >> (8 * (chain % kSlots) + chain / kSlots)) & 1);
      }
    }
    return;
  }
  for (int lane = 0; lane < kInputLanes; ++lane) {
    UNROLL
    for (int product = 0; product < kMacProducts; ++product) {
      UNROLL
      const int slot = product / kMacRows * 2;
      const uint8_t low = operand[slot][lane], high = operand[slot + 1][lane];
      prepared.packed[lane][product] = mode == hw::mode::kMultiply4 ? pack_quad(low, high) : pack(low, high);
    }
  }
}

inline void pack_weights(int mode, const uint8_t weight[kMacRows][kInputLanes], MacWeights& packed) {
  HLS(INLINE)
  for (int lane = 0; lane < kInputLanes; ++lane) {
    UNROLL
    mux_t fields = 0;
    for (int row = 0; row < kMacRows; ++row) {
      UNROLL
      const uint8_t byte = weight[row][lane];
      const pair_t factor = mode == hw::mode::kMultiply4 ? pack_weight_pair(byte) : pair_t(int8_t(byte));
      for (int pair = 0; pair < kMacPairs; ++pair) {
        UNROLL
        packed.factor[lane][pair * kMacRows + row] = factor;
      }
      fields |= mux_t(byte ^ kMuxOffset) << (row * kMuxBits);  // w + 128 of an int8 is its byte with the sign inverted
    }
    packed.fields[lane] = fields;
  }
}

// W and Q: 16 chains of 8 DSPs, one for each product and half of the input lanes. In W each chain is two cascades of 4.
inline void multiply_chains(int mode, const MacOperands& operands, const MacWeights& weights,
                            int32_t sum[kParts][kSlots][kMacRows]) {
  HLS(INLINE)
  mac_cascade_t cascade[kMacCascades][kMacProducts];
  for (int index = 0; index < kMacCascades; ++index) {
    UNROLL
    for (int product = 0; product < kMacProducts; ++product) {
      UNROLL
      cascade[index][product] = 0;
    }
    for (int lane = index * hw::kCascadeLength; lane < (index + 1) * hw::kCascadeLength; ++lane) {
      UNROLL
      VECTOR_LOOP
      for (int product = 0; product < kMacProducts; ++product) {
        UNROLL
        cascade[index][product] +=
            fabric_multiply<kPackedBits, kPairBits>(operands.packed[lane][product], weights.factor[lane][product]);
      }
    }
  }
  int32_t total[4][kMacProducts];  // of the fields; of the two fields in W
  for (int field = 0; field < 4; ++field) {
    UNROLL
    for (int product = 0; product < kMacProducts; ++product) {
      UNROLL
      total[field][product] = 0;
    }
  }
  if (mode == hw::mode::kMultiply4) {
    for (int index = 0; index < kMacCascades; index += 2) {
      UNROLL
      VECTOR_LOOP
      for (int product = 0; product < kMacProducts; ++product) {
        UNROLL
        quad_field_t field[4];
        split_quad(cascade[index][product] + cascade[index + 1][product] + mac_cascade_t(kQuadBias), field);
        total[0][product] += int32_t(field[0]);
        total[1][product] += int32_t(field[1]);
        total[2][product] += int32_t(field[2]);
        total[3][product] += int32_t(field[3]);
      }
    }
  } else {
    for (int index = 0; index < kMacCascades; ++index) {
      UNROLL
      VECTOR_LOOP
      for (int product = 0; product < kMacProducts; ++product) {
        UNROLL
        field_t low, high;
        split(cascade_t(cascade[index][product]), low, high);
        total[0][product] += int32_t(low);
        total[2][product] += int32_t(high);
      }
    }
  }
  for (int product = 0; product < kMacProducts; ++product) {
    UNROLL
    const int slot = product / kMacRows * 2, row = product % kMacRows;
    for (int half = 0; half < 2; ++half) {
      UNROLL
      sum[0][slot + half][row] = total[2 * half][product];
      sum[1][slot + half][row] = total[2 * half + 1][product];
      sum[2][slot + half][row] = 0;
      sum[3][slot + half][row] = 0;
    }
  }
}

// M: 16 chains of 8 DSPs, one for each plane and slot, two lanes a DSP.
inline void gate_chains(const MacOperands& operands, const MacWeights& weights, int32_t sum[kParts][kSlots][kMacRows]) {
  HLS(INLINE)
  mux_t total[kMacChains];
  VECTOR_LOOP
  for (int chain = 0; chain < kMacChains; ++chain) {
    UNROLL
    total[chain] = 0;
  }
  for (int lane = 0; lane < kInputLanes; ++lane) {
    UNROLL
    VECTOR_LOOP
    for (int chain = 0; chain < kMacChains; ++chain) {
      UNROLL
      total[chain] += operands.gate[lane][chain] & weights.fields[lane];
    }
  }
  int32_t result[kMacChains][kMacRows];
  VECTOR_LOOP
  for (int chain = 0; chain < kMacChains; ++chain) {
    UNROLL
    for (int row = 0; row < kMacRows; ++row) {
      UNROLL
      result[chain][row] = int32_t(total[chain] >> (row * kMuxBits)) & ((1 << kMuxBits) - 1);
    }
  }
  for (int part = 0; part < kParts; ++part) {
    UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      for (int row = 0; row < kMacRows; ++row) {
        UNROLL
        sum[part][slot][row] = result[part * kSlots + slot][row];
      }
    }
  }
}

inline void mac_row(int mode, const MacOperands& operands, const MacWeights& weights,
                    int32_t sum[kParts][kSlots][kMacRows]) {
  HLS(INLINE)
  if (mode == hw::mode::kMuxAdd) {
    gate_chains(operands, weights, sum);
  } else {
    multiply_chains(mode, operands, weights, sum);
  }
}

inline void mac_row(int mode, const uint8_t operand[kSlots][kInputLanes], const uint8_t weight[kMacRows][kInputLanes],
                    int32_t sum[kParts][kSlots][kMacRows]) {
  HLS(INLINE)
  MacOperands operands;
  MacWeights weights;
  prepare_operands(mode, operand, operands);
  pack_weights(mode, weight, weights);
  mac_row(mode, operands, weights, sum);
}

// M: set bits of each plane and slot, 0 to 16. A sum of M less kMuxOffset times its count is the sum of the weights.
inline void count_spikes(const uint8_t operand[kSlots][kInputLanes], int32_t count[kParts][kSlots]) {
  HLS(INLINE)
  for (int part = 0; part < kParts; ++part) {
    UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      uint8_t set = 0;
      VECTOR_LOOP
      for (int lane = 0; lane < kInputLanes; ++lane) {
        UNROLL
        set = uint8_t(set + ((operand[slot][lane] >> part) & 1));
      }
      count[part][slot] = set;
    }
  }
}
