// Whether an instruction stays inside the memories, buffers and counters of this overlay. A wrong program must end in a
// status word, never in a hung or overwritten memory.
//
// The order of the conditions matters: products are taken of fields that an earlier condition has bounded.
#pragma once

#include "instruction.hpp"

// What a call gives an instruction to stay within.
struct Limits {
  uint32_t weight_pairs;  // of each plane
  uint32_t spill_words;
  bool weights_stay;
};

inline bool is_code_width(int bits) { return bits == 1 || bits == 2 || bits == 4 || bits == 8; }

inline bool is_map(int height, int width, int column_groups, int columns_of_group) {
  return height >= 1 && width >= 1 && column_groups == (width + columns_of_group - 1) / columns_of_group;
}

inline bool is_train(int channel_tiles, int train_words, int steps, int bits) {
  return is_code_width(bits) && channel_tiles >= 1 && train_words == (steps * bits + 7) / 8;
}

// Bank words of a tensor of one frame. One instance in the fabric for all tensors: its multipliers would otherwise cost
// DSPs.
inline int64_t tensor_words(int height, int column_groups, int channel_tiles, int train_words) {
  HLS(INLINE off)
  return int64_t(height * column_groups) * (channel_tiles * train_words);
}

// Bank words that the frames of a group take, from `base` to one before `end`.
struct Span {
  int64_t base;
  int64_t end;
};

inline bool inside(const Span& span) { return span.end <= kBankWords; }

// What a layer reads and what it writes lie apart: the stages overlap in time, so that an overlap would make the result
// depend on their speed.
inline bool apart(const Span& a, const Span& b) { return a.end <= b.base || b.end <= a.base; }

inline Span span_of(int base, int64_t words, int frames, int64_t frame_words) {
  return Span{base, base + words + (frames - 1) * frame_words};
}

inline Span input_span(const Command& c) {
  const Instruction& d = c.instruction;
  const int64_t words = tensor_words(d.input_height, d.input_column_groups, d.input_channel_tiles, d.input_train_words);
  return span_of(d.input_base, words, c.frames, int(d.input_frame_words));
}

inline Span skip_span(const Command& c) {
  const Instruction& d = c.instruction;
  const int64_t words = tensor_words(d.skip_height, d.skip_column_groups, d.skip_channel_tiles, d.skip_train_words);
  return span_of(d.skip_base, words, c.frames, int(d.skip_frame_words));
}

// Outputs of a group follow each other without a gap.
inline Span output_span(const Command& c, int height, int column_groups) {
  const Instruction& d = c.instruction;
  const int64_t words = tensor_words(height, column_groups, d.output_channel_tiles, d.output_train_words);
  return span_of(d.output_base, words, c.frames, words);
}

inline bool input_fits(const Command& c) {
  const Instruction& d = c.instruction;
  return is_map(d.input_height, d.input_width, d.input_column_groups, kBanks) &&
         is_train(d.input_channel_tiles, d.input_train_words, d.input_steps, d.input_bits) && inside(input_span(c));
}

// Steps, window and quadruples, as CONVOLVE and POOL use them.
inline bool loops_fit(const Command& c) {
  const Instruction& d = c.instruction;
  return c.frames >= 1 && d.num_steps >= 1 && d.num_steps <= hw::kMaximumSteps && d.kernel_height >= 1 &&
         d.kernel_width >= 1 && d.kernel_height <= hw::kMaximumKernel && d.kernel_width <= hw::kMaximumKernel &&
         d.row_stride >= 1 && d.column_stride >= 1 &&
         is_map(d.output_height, d.output_width, d.output_column_groups, kSlots) &&
         int(d.quadruples) == int(d.output_height) * int(d.output_column_groups);
}

// The array's mode: what its operands may be, and how many groups a quadruple takes.
inline bool mode_fits(const Instruction& d) {
  if (d.input_steps != d.num_steps && d.input_steps != 1) return false;
  if (d.mode == hw::mode::kMultiply8) return d.chunks == d.input_steps;
  if (d.mode == hw::mode::kMultiply4) {
    return d.chunks == d.input_steps && d.input_bits <= 4 && d.storage_bits <= 4 && taps_of(d) <= hw::kNarrowTaps;
  }
  const int chunks = (int(d.input_steps) * int(d.input_bits) + 3) / 4;
  return d.mode == hw::mode::kMuxAdd && d.input_bits <= 2 && taps_of(d) <= hw::kNarrowTaps && int(d.chunks) == chunks;
}

// A block's groups fit the array's accumulators; pairs of rows under a fused maximum stay in one block.
inline bool blocks_fit(const Instruction& d) {
  return d.block_quadruples >= 1 && int(d.block_quadruples) * int(d.chunks) <= hw::kBlockGroups &&
         (!d.pooled || ((d.block_quadruples & 1) == 0 && (d.output_height & 1) == 0));
}

inline bool one_block(const Command& c) {
  return int64_t(c.instruction.quadruples) * c.frames <= int(c.instruction.block_quadruples);
}

// Tiles of the whole program in the ring have one place each; layers otherwise follow each other round the ring.
inline bool ring_fits(const Command& c, bool weights_stay) {
  const Instruction& d = c.instruction;
  if (weights_stay) {
    return (d.weight_resident || one_block(c)) && int(c.ring_base) + tile_beats(d) <= hw::kWeightRingBeats;
  }
  return !d.weight_resident || tile_beats(d) <= hw::kWeightRingBeats;
}

// Pairs of all tiles of the layer.
inline int layer_tile_pairs(const Instruction& d) { return passes_of(d) * taps_of(d) * tile_pairs(d); }

inline bool weights_fit(const Command& c, const Limits& limits) {
  const Instruction& d = c.instruction;
  return is_code_width(d.storage_bits) && d.output_tiles >= 1 && d.output_tiles <= kMaximumOutputTiles &&
         d.stored_beats >= 1 && d.stored_beats <= kTileBeats && tile_bits(d) % (2 * hw::kWordBits) == 0 &&
         d.input_tiles >= 1 && int(d.input_first_tile) + int(d.input_tiles) <= int(d.input_channel_tiles) &&
         uint64_t(d.weight_pairs) == uint64_t(parameter_pairs(d)) + uint64_t(layer_tile_pairs(d)) &&
         uint64_t(d.weight_offset) + uint64_t(d.weight_pairs) <= limits.weight_pairs &&
         ring_fits(c, limits.weights_stay);
}

// Map and trains that the layer stores; `store` writes inside this span only.
inline bool stored_fits(const Command& c) {
  const Instruction& d = c.instruction;
  const int halving = d.pooled ? 1 : 0;
  const int height = int(d.output_height) >> halving, width = int(d.output_width) >> halving;
  return int(d.stored_width) == width && is_map(height, width, d.stored_column_groups, kBanks) &&
         is_train(d.output_channel_tiles, d.output_train_words, d.num_steps, d.output_bits) &&
         inside(output_span(c, height, d.stored_column_groups));
}

inline Span stored_span(const Command& c) {
  const Instruction& d = c.instruction;
  return output_span(c, int(d.output_height) >> (d.pooled ? 1 : 0), d.stored_column_groups);
}

inline bool fires_in_width(const Instruction& d) {
  const int largest = (1 << int(d.output_bits)) - 1;
  if (d.skip_mode == hw::skip::kSpike && d.skip_s_max > largest) return false;
  return d.s_max <= largest;
}

inline bool skip_fits(const Command& c) {
  const Instruction& d = c.instruction;
  if (d.skip_mode == hw::skip::kNone) return true;
  const bool one_bit = d.s_max <= 1 && d.skip_bits == 1;
  return (d.skip_mode != hw::skip::kIand || one_bit) && (d.skip_stride == 1 || d.skip_stride == 2) &&
         is_map(d.skip_height, d.skip_width, d.skip_column_groups, kBanks) &&
         is_train(d.skip_channel_tiles, d.skip_train_words, d.num_steps, d.skip_bits) && inside(skip_span(c)) &&
         apart(skip_span(c), stored_span(c));
}

// One pixel a frame. Sums of more than one pass come frame after frame only where a block is one frame.
inline bool head_fits(const Command& c) {
  const Instruction& d = c.instruction;
  return d.quadruples == 1 && d.output_width == 1 && d.output_first_tile == 0 && !d.pooled &&
         d.skip_mode == hw::skip::kNone && (c.frames == 1 || passes_of(d) == 1 || d.block_quadruples == 1) &&
         d.num_classes >= 1 && int(d.num_classes) <= int(d.output_tiles) * kOutputLanes;
}

inline bool convolve_fits(const Command& c, const Limits& limits) {
  const Instruction& d = c.instruction;
  return loops_fit(c) && mode_fits(d) && blocks_fit(d) && input_fits(c) && weights_fit(c, limits) &&
         (d.head ? head_fits(c)
                 : stored_fits(c) && fires_in_width(d) && skip_fits(c) && apart(input_span(c), stored_span(c)));
}

inline bool pool_fits(const Command& c) {
  const Instruction& d = c.instruction;
  if (!loops_fit(c) || d.row_stride != d.column_stride || d.input_steps != d.num_steps || !input_fits(c)) return false;
  const Span output = output_span(c, d.output_height, d.output_column_groups);
  return is_train(d.output_channel_tiles, d.output_train_words, d.num_steps, d.output_bits) && inside(output) &&
         apart(input_span(c), output) && d.pool_shift <= 16 && d.output_channel_tiles <= d.input_channel_tiles &&
         (d.pool_kind == hw::pool::kSum || d.output_bits == d.input_bits);
}

// Transfers move one frame: none of their words belongs to another frame of the group.
inline bool transfer_fits(const Command& c, const Limits& limits) {
  const Instruction& d = c.instruction;
  const int bank_words = (int(d.transfer_words) + kBanks - 1) / kBanks;
  const bool saves = d.opcode == hw::opcode::kSave;
  const bool receives = d.opcode == hw::opcode::kReceive;
  const bool spill = uint64_t(d.spill_offset) + uint64_t(d.transfer_words) <= limits.spill_words;
  const bool banks = (saves ? int(d.input_base) : int(d.output_base)) + bank_words <= kBankWords;
  return c.frames == 1 && (receives ? (d.spilled ? spill : banks) : spill && banks);
}

// STATUS of one execution of an instruction, its bases moved and its place in the ring set.
inline int check(const Command& c, const Limits& limits) {
  const int opcode = c.instruction.opcode;
  bool fits;
  if (opcode == hw::opcode::kReceive || opcode == hw::opcode::kLoad || opcode == hw::opcode::kSave) {
    fits = transfer_fits(c, limits);
  } else if (opcode == hw::opcode::kConvolve) {
    fits = convolve_fits(c, limits);
  } else if (opcode == hw::opcode::kPool) {
    fits = pool_fits(c);
  } else {
    return hw::status::kBadOpcode;
  }
  return fits ? hw::status::kOk : hw::status::kBadField;
}
