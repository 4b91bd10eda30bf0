// The row of mac_row.hpp as a black box: under Vitis HLS the module of hls/rtl/qsnn_mac_row.v takes the place of this
// function (hls/rtl/qsnn_mac_row.json), which is then only its C simulation. A port for each part, the others narrower
// than the first, because only that one holds sums of W.
#pragma once

#include "mac_row.hpp"

constexpr int kMacSumBits = 21;     // part 0: 16 * 255 * 127 takes 20
constexpr int kMacNarrowBits = 13;  // the other parts: signed in Q, unsigned in M
constexpr int kMacOperandBits = kSlots * kInputLanes * 8;
constexpr int kMacWeightBits = kMacRows * kInputLanes * 8;

static_assert(kInputLanes * 255 * hw::kMaximumWeight < 1 << (kMacSumBits - 1), "a sum fits its field");
static_assert(kMuxBits < kMacNarrowBits && kQuadBits + 1 < kMacNarrowBits, "a sum of Q or M fits the narrow one");

typedef ap_uint<2> mac_mode_t;
typedef ap_uint<kMacOperandBits> mac_operands_t;              // byte slot * 16 + lane
typedef ap_uint<kMacWeightBits> mac_weights_t;                // byte row * 16 + lane
typedef ap_uint<kSlots * kMacRows * kMacSumBits> mac_sums_t;  // of one part: field slot * 4 + row
typedef ap_uint<kSlots * kMacRows * kMacNarrowBits> mac_narrow_sums_t;

void qsnn_mac_row(mac_mode_t mode, mac_operands_t operands, mac_weights_t weights, mac_sums_t* part0,
                  mac_narrow_sums_t* part1, mac_narrow_sums_t* part2, mac_narrow_sums_t* part3);

inline void operands_to_word(const uint8_t operand[kSlots][kInputLanes], mac_operands_t& word) {
  HLS(INLINE)
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      const int lsb = 8 * (slot * kInputLanes + lane);
      word.range(lsb + 7, lsb) = ap_uint<8>(operand[slot][lane]);
    }
  }
}

inline void weights_to_word(const uint8_t weight[kMacRows][kInputLanes], mac_weights_t& word) {
  HLS(INLINE)
  for (int row = 0; row < kMacRows; ++row) {
    UNROLL
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      const int lsb = 8 * (row * kInputLanes + lane);
      word.range(lsb + 7, lsb) = ap_uint<8>(weight[row][lane]);
    }
  }
}

template <int kBits>
inline void word_to_sums(const ap_uint<kSlots * kMacRows * kBits>& word, int32_t sum[kSlots][kMacRows]) {
  HLS(INLINE)
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    for (int row = 0; row < kMacRows; ++row) {
      UNROLL
      const int lsb = kBits * (slot * kMacRows + row);
      sum[slot][row] = ap_int<kBits>(word.range(lsb + kBits - 1, lsb)).to_int();
    }
  }
}

// The box with the arguments of mac_row.
inline void mac_row_box(int mode, const mac_operands_t& operands, const mac_weights_t& weights,
                        int32_t sum[kParts][kSlots][kMacRows]) {
  HLS(INLINE)
  mac_sums_t part0;
  mac_narrow_sums_t part1, part2, part3;
  qsnn_mac_row(mac_mode_t(mode), operands, weights, &part0, &part1, &part2, &part3);
  word_to_sums<kMacSumBits>(part0, sum[0]);
  word_to_sums<kMacNarrowBits>(part1, sum[1]);
  word_to_sums<kMacNarrowBits>(part2, sum[2]);
  word_to_sums<kMacNarrowBits>(part3, sum[3]);
}
