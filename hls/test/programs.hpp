// Instructions by hand, and a program small enough to check by hand. Needs no simulation: the test bench of Vitis HLS
// uses it too.
#pragma once

#include <vector>

#include "instruction.hpp"

namespace bench {

inline Instruction empty_instruction() { return decode(instruction_bits(0)); }

inline instruction_bits encode(const Instruction& d) {
  instruction_bits bits = 0;
#define BENCH_ENCODE(member, name)                                                                                \
  bits.range(hw::instruction::k##name##Lsb + hw::instruction::k##name##Bits - 1, hw::instruction::k##name##Lsb) = \
      d.member;
  INSTRUCTION_FIELDS(BENCH_ENCODE)
#undef BENCH_ENCODE
  return bits;
}

inline int divide_up(int a, int b) { return (a + b - 1) / b; }

// Map fields of a small convolution, "same" geometry left to the caller.
inline void set_input(Instruction& d, int base, int height, int width, int tiles, int steps, int bits) {
  d.input_base = base;
  d.input_height = height;
  d.input_width = width;
  d.input_column_groups = divide_up(width, kBanks);
  d.input_channel_tiles = tiles;
  d.input_tiles = tiles;
  d.input_steps = steps;
  d.input_bits = bits;
  d.input_train_words = divide_up(steps * bits, 8);
}

inline void set_output(Instruction& d, int base, int height, int width, int tiles, int steps, int bits) {
  d.output_base = base;
  d.output_height = height;
  d.output_width = width;
  d.output_column_groups = divide_up(width, kSlots);
  d.output_channel_tiles = tiles;
  d.output_tiles = divide_up(tiles, kHalves);
  d.num_steps = steps;
  d.output_bits = bits;
  d.output_train_words = divide_up(steps * bits, 8);
  d.quadruples = height * divide_up(width, kSlots);
}

inline void set_blocks(Instruction& d) {
  d.block_quadruples = hw::kBlockGroups / int(d.input_steps);
  d.blocks = divide_up(d.quadruples, d.block_quadruples);
}

constexpr int kClasses = 5;

inline word_t program_header() {
  using namespace hw::program_header;
  word_t header = 0;
  header.range(kMagicLsb + kMagicBits - 1, kMagicLsb) = hw::kProgramMagic;
  header.range(kVersionLsb + kVersionBits - 1, kVersionLsb) = hw::kSpecVersion;
  header.range(kFingerprintLsb + kFingerprintBits - 1, kFingerprintLsb) = hw::kFingerprint;
  return header;
}

// 2 x 3 map of 8-bit pixels, 16 channels -> 1 x 1 convolution to 4-bit codes -> head over the whole map.
inline std::vector<Instruction> small_network() {
  Instruction receive = empty_instruction();
  receive.opcode = hw::opcode::kReceive;
  receive.receive_words = 2 * kBanks;

  Instruction layer = empty_instruction();
  layer.opcode = hw::opcode::kConvolve;
  set_input(layer, 0, 2, 3, 1, 1, 8);
  set_output(layer, 100, 2, 3, 2, 1, 4);
  set_blocks(layer);
  layer.kernel_height = layer.kernel_width = layer.stride = 1;
  layer.s_max = 15;
  layer.storage_bits = 8;
  layer.weight_resident = 1;
  layer.weight_words = kOutputLanes + kOutputLanes * kInputLanes * 8 / hw::kWordBits;

  Instruction head = empty_instruction();
  head.opcode = hw::opcode::kConvolve;
  head.head = 1;
  set_input(head, 100, 2, 3, 2, 1, 4);
  head.kernel_height = 2;
  head.kernel_width = 3;
  head.stride = head.output_height = head.output_width = head.output_column_groups = head.quadruples = 1;
  head.output_tiles = head.num_steps = 1;
  set_blocks(head);
  head.num_classes = kClasses;
  head.storage_bits = 2;
  head.weight_offset = layer.weight_words;
  head.weight_words = kOutputLanes + 2 * 3 * 2 * kOutputLanes * kInputLanes * 2 / hw::kWordBits;
  return {receive, layer, head};
}

// Frame number `first`: pixel (row, column), channel c = first + row + column + c, beat by beat; column 3 is padding.
inline uint8_t frame_code(int first, int beat, int channel) {
  const int row = beat / kBanks, column = beat % kBanks;
  return column < 3 ? uint8_t(first + row + column + channel) : uint8_t(0);
}

// What the head must answer: codes are clipped at 15.
inline int32_t expected_logit(int first, int channel) {
  int32_t sum = 0;
  for (int pixel = 0; pixel < 6 && channel < kClasses; ++pixel) {
    const int code = first + pixel / 3 + pixel % 3 + channel;
    sum += code < 15 ? code : 15;
  }
  return sum;
}

// Layer: channel c copies input channel c (weight 1, one threshold a unit). Head: class k sums codes of channel k < 16.
inline std::vector<word_t> small_weights() {
  using namespace hw::channel_parameters;
  std::vector<word_t> words;
  for (int c = 0; c < kOutputLanes; ++c) {
    word_t p = 0;
    p.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb) = c < kInputLanes ? 1 << 16 : 0;
    words.push_back(p);
  }
  for (int row = 0; row < kOutputLanes; ++row) {
    word_t w = 0;
    if (row < kInputLanes) w.range(8 * row + 7, 8 * row) = 1;
    words.push_back(w);
  }
  for (int c = 0; c < kOutputLanes; ++c) {
    word_t p = 0;
    p.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb) = c < kClasses ? 1 : 0;
    words.push_back(p);
  }
  for (int tap = 0; tap < 2 * 3 * 2; ++tap) {
    for (int element = 0; element < kOutputLanes * kInputLanes; element += 64) {
      word_t w = 0;
      for (int i = 0; i < 64; ++i) {
        const int row = (element + i) / kInputLanes, lane = (element + i) % kInputLanes;
        if (row == lane && tap % 2 == 0) w.range(2 * i + 1, 2 * i) = 1;
      }
      words.push_back(w);
    }
  }
  return words;
}

}  // namespace bench
