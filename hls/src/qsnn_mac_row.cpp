#include "qsnn_mac_row.hpp"

static_assert(kSlots == 4 && kInputLanes == 16 && kMacRows == 4, "the Verilog row has 4 slots, 16 lanes and 4 rows");

namespace {

template <int kBits>
inline void sums_to_word(const int32_t sum[kSlots][kMacRows], ap_uint<kSlots * kMacRows * kBits>& word) {
  HLS(INLINE)
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    for (int row = 0; row < kMacRows; ++row) {
      UNROLL
      const int lsb = kBits * (slot * kMacRows + row);
      word.range(lsb + kBits - 1, lsb) = ap_uint<kBits>(sum[slot][row]);
    }
  }
}

}  // namespace

// II = 1: the row of Verilog takes a group every cycle, nothing returns in it.
void qsnn_mac_row(mac_mode_t mode, mac_operands_t operands, mac_weights_t weights, mac_sums_t* part0,
                  mac_narrow_sums_t* part1, mac_narrow_sums_t* part2, mac_narrow_sums_t* part3) {
  HLS(PIPELINE II = 1)
  uint8_t operand[kSlots][kInputLanes], weight[kMacRows][kInputLanes];
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      const int lsb = 8 * (slot * kInputLanes + lane);
      operand[slot][lane] = uint8_t(operands.range(lsb + 7, lsb).to_uint());
    }
  }
  for (int row = 0; row < kMacRows; ++row) {
    UNROLL
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      const int lsb = 8 * (row * kInputLanes + lane);
      weight[row][lane] = uint8_t(weights.range(lsb + 7, lsb).to_uint());
    }
  }
  int32_t sum[kParts][kSlots][kMacRows];
  mac_row(mode.to_int(), operand, weight, sum);
  sums_to_word<kMacSumBits>(sum[0], *part0);
  sums_to_word<kMacNarrowBits>(sum[1], *part1);
  sums_to_word<kMacNarrowBits>(sum[2], *part2);
  sums_to_word<kMacNarrowBits>(sum[3], *part3);
}
