// Whether an instruction stays inside the memories, buffers and counters of this overlay. A wrong program must end in a
// status word, never in a hung or overwritten memory.
#pragma once

#include "instruction.hpp"

inline bool is_code_width(int bits) { return bits == 1 || bits == 2 || bits == 4 || bits == 8; }

// A spike train tensor: its map, its trains and its last word. One instance in the fabric for all tensors: its
// multipliers would otherwise cost DSPs.
inline bool tensor_fits(int base, int height, int width, int column_groups, int channel_tiles, int train_words,
                        int steps, int bits) {
  HLS(INLINE off)
  const int64_t words = int64_t(height * column_groups) * (channel_tiles * train_words);
  return is_code_width(bits) && height >= 1 && width >= 1 && channel_tiles >= 1 &&
         column_groups == (width + kBanks - 1) / kBanks && train_words == (steps * bits + 7) / 8 &&
         base + words <= kBankWords;
}

inline bool input_fits(const Instruction& d) {
  return tensor_fits(d.input_base, d.input_height, d.input_width, d.input_column_groups, d.input_channel_tiles,
                     d.input_train_words, d.input_steps, d.input_bits);
}

inline bool output_fits(const Instruction& d) {
  return tensor_fits(d.output_base, d.output_height, d.output_width, d.output_column_groups, d.output_channel_tiles,
                     d.output_train_words, d.num_steps, d.output_bits);
}

// What a layer reads and what it writes lie apart: the stages overlap in time, so that an overlap would make the result
// depend on their speed. Both tensors fit the banks already.
inline bool apart(int base, int words, int other_base, int other_words) {
  return base + words <= other_base || other_base + other_words <= base;
}

inline int output_words(const Instruction& d) {
  return int(d.quadruples) * (int(d.output_channel_tiles) * int(d.output_train_words));
}

inline bool input_apart(const Instruction& d) {
  const int words =
      int(d.input_height) * int(d.input_column_groups) * int(d.input_channel_tiles) * int(d.input_train_words);
  return apart(d.input_base, words, d.output_base, output_words(d));
}

inline bool skip_apart(const Instruction& d) {
  const int words =
      int(d.skip_height) * int(d.skip_column_groups) * int(d.skip_channel_tiles) * int(d.skip_train_words);
  return d.skip_mode == hw::skip::kNone || apart(d.skip_base, words, d.output_base, output_words(d));
}

inline bool skip_fits(const Instruction& d) {
  if (d.skip_mode == hw::skip::kNone) return true;
  return d.skip_mode <= hw::skip::kCurrent && (d.skip_stride == 1 || d.skip_stride == 2) &&
         tensor_fits(d.skip_base, d.skip_height, d.skip_width, d.skip_column_groups, d.skip_channel_tiles,
                     d.skip_train_words, d.num_steps, d.skip_bits);
}

// Steps, window and quadruples, as CONVOLVE and POOL use them.
inline bool loops_fit(const Instruction& d) {
  return d.num_steps >= 1 && d.num_steps <= hw::kMaximumSteps && d.kernel_height >= 1 && d.kernel_width >= 1 &&
         d.kernel_height <= hw::kMaximumKernel && d.kernel_width <= hw::kMaximumKernel && d.stride >= 1 &&
         d.quadruples >= 1 && int(d.quadruples) == int(d.output_height) * int(d.output_column_groups);
}

// Blocks cover the quadruples exactly, and a block's groups fit the array's accumulators.
inline bool blocks_fit(const Instruction& d) {
  const int before_last = (int(d.blocks) - 1) * int(d.block_quadruples);
  return d.blocks >= 1 && d.block_quadruples >= 1 && before_last < int(d.quadruples) &&
         int(d.quadruples) <= before_last + int(d.block_quadruples) &&
         int(d.block_quadruples) * int(d.input_steps) <= hw::kBlockGroups;
}

inline int tile_words(const Instruction& d) {
  return int(d.output_tiles) * taps_of(d) * (kOutputLanes * kInputLanes * int(d.storage_bits) / hw::kWordBits);
}

inline int tile_beats(const Instruction& d) { return int(d.output_tiles) * taps_of(d) * kTileBeats; }

inline bool weights_fit(const Instruction& d, uint32_t weight_words) {
  return is_code_width(d.storage_bits) && d.output_tiles >= 1 && d.output_tiles <= kMaximumOutputTiles &&
         d.input_tiles >= 1 && int(d.input_first_tile) + int(d.input_tiles) <= int(d.input_channel_tiles) &&
         uint64_t(d.weight_words) == uint64_t(int(d.output_tiles) * kOutputLanes) + uint64_t(tile_words(d)) &&
         uint64_t(d.weight_offset) + uint64_t(d.weight_words) <= weight_words &&
         (!d.weight_resident || tile_beats(d) <= hw::kWeightBufferWords);
}

inline bool head_fits(const Instruction& d) {
  return d.quadruples == 1 && d.output_width <= 1 && d.output_first_tile == 0 && d.skip_mode == hw::skip::kNone &&
         d.num_classes >= 1 && int(d.num_classes) <= int(d.output_tiles) * kOutputLanes;
}

inline bool convolve_fits(const Instruction& d, uint32_t weight_words) {
  const int largest = (1 << int(d.output_bits)) - 1;
  const bool fires = d.s_max <= largest && (d.skip_mode != hw::skip::kSpike || d.skip_s_max <= largest);
  return loops_fit(d) && (d.input_steps == d.num_steps || d.input_steps == 1) && blocks_fit(d) && input_fits(d) &&
         weights_fit(d, weight_words) && skip_fits(d) &&
         (d.head ? head_fits(d) : output_fits(d) && fires && input_apart(d) && skip_apart(d));
}

inline bool pool_fits(const Instruction& d) {
  return loops_fit(d) && d.input_steps == d.num_steps && input_fits(d) && output_fits(d) && input_apart(d) &&
         d.pool_shift <= 16 && d.output_channel_tiles <= d.input_channel_tiles &&
         (d.pool_kind == hw::pool::kSum || d.output_bits == d.input_bits);
}

inline bool receive_fits(const Instruction& d) {
  return int(d.output_base) + (int(d.receive_words) + kBanks - 1) / kBanks <= kBankWords;
}

inline int check(const Instruction& d, uint32_t weight_words) {
  bool fits;
  if (d.opcode == hw::opcode::kReceive) {
    fits = receive_fits(d);
  } else if (d.opcode == hw::opcode::kConvolve) {
    fits = convolve_fits(d, weight_words);
  } else if (d.opcode == hw::opcode::kPool) {
    fits = pool_fits(d);
  } else {
    return hw::status::kBadOpcode;
  }
  return fits ? hw::status::kOk : hw::status::kBadField;
}
