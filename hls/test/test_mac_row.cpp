#include "bench.hpp"

#include "../src/qsnn_mac_row.cpp"

namespace mac_bench {

struct Case {
  uint8_t operand[kSlots][kInputLanes];
  uint8_t weight[kMacRows][kInputLanes];
};

// int4 in the low or high nibble of a weight byte.
inline int64_t nibble(uint8_t byte, int high) {
  const int value = (high ? byte >> 4 : byte) & 15;
  return value < 8 ? value : value - 16;
}

inline int64_t term(int mode, int part, uint8_t code, uint8_t weight) {
  if (mode == hw::mode::kMultiply8) return part == 0 ? int64_t(code) * int8_t(weight) : 0;
  if (mode == hw::mode::kMultiply4) return part < 2 ? (code & 15) * nibble(weight, part) : 0;
  return (code >> part) & 1 ? int8_t(weight) : 0;
}

// The leaf functions, all three ways to call them, and the box against plain sums: in M less 128 for each set bit.
inline void check(int mode, const Case& c) {
  int32_t direct[kParts][kSlots][kMacRows], prepared[kParts][kSlots][kMacRows], boxed[kParts][kSlots][kMacRows];
  mac_row(mode, c.operand, c.weight, direct);
  MacOperands operands;
  MacWeights weights;
  prepare_operands(mode, c.operand, operands);
  pack_weights(mode, c.weight, weights);
  mac_row(mode, operands, weights, prepared);
  mac_operands_t operand_word;
  mac_weights_t weight_word;
  operands_to_word(c.operand, operand_word);
  weights_to_word(c.weight, weight_word);
  mac_row_box(mode, operand_word, weight_word, boxed);
  const bool planes = mode == hw::mode::kMuxAdd;
  int32_t count[kParts][kSlots];
  count_spikes(c.operand, count);
  for (int part = 0; part < kParts; ++part) {
    for (int slot = 0; slot < kSlots; ++slot) {
      for (int row = 0; row < kMacRows; ++row) {
        int64_t expected = 0;
        for (int lane = 0; lane < kInputLanes; ++lane) {
          expected += term(mode, part, c.operand[slot][lane], c.weight[row][lane]);
        }
        if (planes) {
          CHECK(direct[part][slot][row] >= 0 && direct[part][slot][row] < 1 << kMuxBits);
          expected += kMuxOffset * count[part][slot];
        }
        CHECK_EQUAL(direct[part][slot][row], expected);
        CHECK_EQUAL(prepared[part][slot][row], expected);
        CHECK_EQUAL(boxed[part][slot][row], expected);
      }
    }
  }
}

// Any byte that the mode allows.
inline uint8_t any_weight(int mode) {
  return uint8_t(mode == hw::mode::kMultiply4 ? bench::uniform(0, 255) : bench::uniform(-127, 127));
}

}  // namespace mac_bench

// Every slot takes one corner code and every row one corner weight, in all combinations of neighbours.
TEST(a_mac_row_is_exact_at_every_corner) {
  const uint8_t codes[] = {0, 1, 15, 127, 128, 254, 255};
  const uint8_t bytes[] = {0x81, 0x82, 0xFF, 0x00, 0x01, 0x7E, 0x7F};
  const uint8_t nibbles[] = {0x00, 0x88, 0x87, 0x78, 0x77, 0x8F, 0xF8};
  mac_bench::Case c;
  for (int mode = 0; mode < 3; ++mode) {
    const uint8_t* weights = mode == hw::mode::kMultiply4 ? nibbles : bytes;
    for (int pair = 0; pair < 49; ++pair) {
      for (int other = 0; other < 49; ++other) {
        for (int lane = 0; lane < kInputLanes; ++lane) {
          for (int slot = 0; slot < kSlots; ++slot) {
            const int shifted = (pair + (slot / 2) * 11) % 49;
            c.operand[slot][lane] = codes[slot % 2 ? shifted / 7 : shifted % 7];
          }
          for (int row = 0; row < kMacRows; ++row) {
            const int shifted = (other + (row / 2) * 11) % 49;
            c.weight[row][lane] = weights[row % 2 ? shifted / 7 : shifted % 7];
          }
        }
        mac_bench::check(mode, c);
      }
    }
  }
}

TEST(a_mac_row_is_exact_for_random_operands) {
  mac_bench::Case c;
  for (int i = 0; i < 6000; ++i) {
    const int mode = i % 3;
    const bool extreme = i % 4 == 0;
    for (auto& slot : c.operand) {
      for (uint8_t& code : slot) code = uint8_t(extreme ? 255 * bench::uniform(0, 1) : bench::uniform(0, 255));
    }
    for (auto& row : c.weight) {
      for (uint8_t& weight : row) {
        const uint8_t largest = mode == hw::mode::kMultiply4 ? 0x77 : 127, least = uint8_t(largest + 17 * (mode == 1));
        const uint8_t limit = bench::uniform(0, 1) ? largest : mode == 1 ? least : 0x81;
        weight = extreme ? limit : mac_bench::any_weight(mode);
      }
    }
    mac_bench::check(mode, c);
  }
}

TEST(spikes_are_counted) {
  mac_bench::Case c;
  for (int i = 0; i < 300; ++i) {
    const int density = bench::uniform(0, 3);  // 0: every bit clear, 3: every bit set
    for (auto& slot : c.operand) {
      for (uint8_t& code : slot) code = uint8_t(density == 0 ? 0 : density == 3 ? 255 : bench::uniform(0, 255));
    }
    int32_t count[kParts][kSlots];
    count_spikes(c.operand, count);
    for (int part = 0; part < kParts; ++part) {
      for (int slot = 0; slot < kSlots; ++slot) {
        int64_t expected = 0;
        for (const uint8_t code : c.operand[slot]) expected += (code >> part) % 2;
        CHECK_EQUAL(count[part][slot], expected);
      }
    }
  }
}
