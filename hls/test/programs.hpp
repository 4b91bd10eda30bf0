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

// Map fields of a small convolution, "same" geometry left to the caller. Frames of a group follow each other.
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
  d.input_frame_words = height * divide_up(width, kBanks) * tiles * divide_up(steps * bits, 8);
}

inline void set_skip(Instruction& d, int base, int height, int width, int tiles, int steps, int bits, int stride) {
  d.skip_base = base;
  d.skip_height = height;
  d.skip_width = width;
  d.skip_column_groups = divide_up(width, kBanks);
  d.skip_channel_tiles = tiles;
  d.skip_bits = bits;
  d.skip_train_words = divide_up(steps * bits, 8);
  d.skip_frame_words = height * divide_up(width, kBanks) * tiles * divide_up(steps * bits, 8);
  d.skip_stride = stride;
}

// height, width: of the computed map; with a 2x2 maximum (`pooled`) half of it is stored.
inline void set_output(Instruction& d, int base, int height, int width, int tiles, int steps, int bits,
                       bool pooled = false) {
  d.output_base = base;
  d.output_height = height;
  d.output_width = width;
  d.output_column_groups = divide_up(width, kSlots);
  d.pooled = pooled;
  d.stored_width = pooled ? width / 2 : width;
  d.stored_column_groups = divide_up(pooled ? width / 2 : width, kBanks);
  d.output_channel_tiles = tiles;
  d.output_tiles = divide_up(tiles, kHalves);
  d.num_steps = steps;
  d.output_bits = bits;
  d.output_train_words = divide_up(steps * bits, 8);
  d.quadruples = height * divide_up(width, kSlots);
}

// After set_input: the array's mode and its chunks.
inline void set_mode(Instruction& d, int mode) {
  d.mode = mode;
  d.chunks = mode == hw::mode::kMuxAdd ? divide_up(int(d.input_steps) * int(d.input_bits), 4) : int(d.input_steps);
}

// After set_mode and set_output: the largest block.
inline void set_blocks(Instruction& d) {
  const int most = hw::kBlockGroups / int(d.chunks);
  d.block_quadruples = d.pooled ? most & ~1 : most;
}

inline void set_kernel(Instruction& d, int height, int width, int stride, int padding) {
  d.kernel_height = height;
  d.kernel_width = width;
  d.row_stride = d.column_stride = stride;
  d.padding_top = d.padding_left = padding;
}

// After everything else: where the instruction's weights lie. Returns the first pair behind them.
inline uint32_t set_weights(Instruction& d, int storage_bits, uint32_t offset) {
  d.storage_bits = storage_bits;
  if (d.stored_beats == 0) d.stored_beats = kTileBeats;
  d.weight_resident = tile_beats(d) <= hw::kWeightRingBeats;
  d.weight_offset = offset;
  d.weight_pairs = parameter_pairs(d) + passes_of(d) * taps_of(d) * tile_pairs(d);
  return uint32_t(d.weight_offset) + uint32_t(d.weight_pairs);
}

// RECEIVE, LOAD or SAVE of `words` words.
inline Instruction transfer(int opcode, int words, int base, uint32_t offset) {
  Instruction d = empty_instruction();
  d.opcode = opcode;
  d.transfer_words = words;
  d.input_base = d.output_base = base;
  d.spill_offset = offset;
  return d;
}

// One execution as `fetch` would order it: the only one of its call, tiles from the ring's first beat on.
inline Command command_of(const Instruction& d, int frames = 1) {
  Command c;
  c.instruction = d;
  c.frames = uint8_t(frames);
  c.last_group = true;
  c.blocks = d.block_quadruples ? uint16_t(divide_up(int(d.quadruples) * frames, d.block_quadruples)) : uint16_t(0);
  c.ring_base = 0;
  c.tiles_arrive = c.tiles_leave = true;
  c.status = hw::status::kOk;
  return c;
}

constexpr int kClasses = 5;

typedef ap_uint<hw::program_header::kWords * hw::kWordBits> header_bits;

inline header_bits program_header(uint32_t split, int group_frames = 1, bool weights_stay = false) {
  using namespace hw::program_header;
  header_bits header = 0;
  header.range(kMagicLsb + kMagicBits - 1, kMagicLsb) = hw::kProgramMagic;
  header.range(kVersionLsb + kVersionBits - 1, kVersionLsb) = hw::kSpecVersion;
  header.range(kFingerprintLsb + kFingerprintBits - 1, kFingerprintLsb) = hw::kFingerprint;
  header.range(kSplitLsb + kSplitBits - 1, kSplitLsb) = split;
  header.range(kGroupFramesLsb + kGroupFramesBits - 1, kGroupFramesLsb) = group_frames;
  header.range(kWeightsStayLsb + kWeightsStayBits - 1, kWeightsStayLsb) = weights_stay;
  return header;
}

// 2 x 3 map of 8-bit pixels, 16 channels -> 1 x 1 convolution to codes -> head over the whole map. The layer's
// outputs of a group's frames follow each other: with groups of more than one frame the split is before the head.
constexpr uint32_t kSmallSplit = 2;

// Bits of the codes between: MUX_ADD takes one or two.
inline int small_bits(int head_mode) { return head_mode == hw::mode::kMuxAdd ? 2 : 4; }

inline std::vector<Instruction> small_network(int head_mode = hw::mode::kMultiply8) {
  Instruction receive = empty_instruction();
  receive.opcode = hw::opcode::kReceive;
  receive.transfer_words = 2 * kBanks;

  Instruction layer = empty_instruction();
  layer.opcode = hw::opcode::kConvolve;
  set_input(layer, 0, 2, 3, 1, 1, 8);
  set_output(layer, 100, 2, 3, 2, 1, small_bits(head_mode));
  set_mode(layer, hw::mode::kMultiply8);
  set_blocks(layer);
  set_kernel(layer, 1, 1, 1, 0);
  layer.s_max = (1 << small_bits(head_mode)) - 1;
  layer.output_frame_words = 2 * 2;
  const uint32_t behind = set_weights(layer, 8, 0);

  Instruction head = empty_instruction();
  head.opcode = hw::opcode::kConvolve;
  head.head = 1;
  set_input(head, 100, 2, 3, 2, 1, small_bits(head_mode));
  set_output(head, 0, 1, 1, 2, 1, 8);
  set_mode(head, head_mode);
  set_blocks(head);
  set_kernel(head, 2, 3, 1, 0);
  head.num_classes = kClasses;
  set_weights(head, 2, behind);
  return {receive, layer, head};
}

// Frame number `first`: pixel (row, column), channel c = first + row + column + c, beat by beat; column 3 is padding.
inline uint8_t frame_code(int first, int beat, int channel) {
  const int row = beat / kBanks, column = beat % kBanks;
  return column < 3 ? uint8_t(first + row + column + channel) : uint8_t(0);
}

// What the head must answer: codes are clipped at `largest`.
inline int32_t expected_logit(int first, int channel, int largest = 15) {
  int32_t sum = 0;
  for (int pixel = 0; pixel < 6 && channel < kClasses; ++pixel) {
    const int code = first + pixel / 3 + pixel % 3 + channel;
    sum += code < largest ? code : largest;
  }
  return sum;
}

// Words of both planes in turn: even, odd, even, odd.
// Layer: channel c copies input channel c (weight 1, one threshold a unit). Head: class k sums codes of channel k < 16.
inline std::vector<word_t> small_weights(int head_mode = hw::mode::kMultiply8) {
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
    const int rows = head_mode == hw::mode::kMultiply4 ? 2 * kOutputLanes : kOutputLanes;
    for (int element = 0; element < rows * kInputLanes; element += 64) {
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
