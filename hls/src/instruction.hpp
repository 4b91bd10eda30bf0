// An instruction as named fields. Widths and places come from hw_spec.hpp; only the list of names stands here.
#pragma once

#include "arithmetic.hpp"
#include "types.hpp"

// X(member, name of its constants)
#define INSTRUCTION_FIELDS(X)                 \
  X(opcode, Opcode)                           \
  X(mode, Mode)                               \
  X(head, Head)                               \
  X(reset_mode, ResetMode)                    \
  X(leak_enable, LeakEnable)                  \
  X(leak_shift, LeakShift)                    \
  X(pool_kind, PoolKind)                      \
  X(pool_shift, PoolShift)                    \
  X(skip_mode, SkipMode)                      \
  X(s_max, SMax)                              \
  X(skip_s_max, SkipSMax)                     \
  X(num_steps, NumSteps)                      \
  X(input_steps, InputSteps)                  \
  X(chunks, Chunks)                           \
  X(kernel_height, KernelHeight)              \
  X(kernel_width, KernelWidth)                \
  X(row_stride, RowStride)                    \
  X(column_stride, ColumnStride)              \
  X(padding_top, PaddingTop)                  \
  X(padding_left, PaddingLeft)                \
  X(storage_bits, StorageBits)                \
  X(stored_beats, StoredBeats)                \
  X(input_base, InputBase)                    \
  X(input_height, InputHeight)                \
  X(input_width, InputWidth)                  \
  X(input_column_groups, InputColumnGroups)   \
  X(input_channel_tiles, InputChannelTiles)   \
  X(input_first_tile, InputFirstTile)         \
  X(input_tiles, InputTiles)                  \
  X(input_bits, InputBits)                    \
  X(input_train_words, InputTrainWords)       \
  X(input_frame_words, InputFrameWords)       \
  X(output_base, OutputBase)                  \
  X(output_height, OutputHeight)              \
  X(output_width, OutputWidth)                \
  X(output_column_groups, OutputColumnGroups) \
  X(pooled, Pooled)                           \
  X(stored_width, StoredWidth)                \
  X(stored_column_groups, StoredColumnGroups) \
  X(output_channel_tiles, OutputChannelTiles) \
  X(output_first_tile, OutputFirstTile)       \
  X(output_tiles, OutputTiles)                \
  X(output_bits, OutputBits)                  \
  X(output_train_words, OutputTrainWords)     \
  X(output_frame_words, OutputFrameWords)     \
  X(num_classes, NumClasses)                  \
  X(quadruples, Quadruples)                   \
  X(block_quadruples, BlockQuadruples)        \
  X(weight_resident, WeightResident)          \
  X(weight_offset, WeightOffset)              \
  X(weight_pairs, WeightPairs)                \
  X(skip_base, SkipBase)                      \
  X(skip_height, SkipHeight)                  \
  X(skip_width, SkipWidth)                    \
  X(skip_column_groups, SkipColumnGroups)     \
  X(skip_channel_tiles, SkipChannelTiles)     \
  X(skip_stride, SkipStride)                  \
  X(skip_bits, SkipBits)                      \
  X(skip_train_words, SkipTrainWords)         \
  X(skip_frame_words, SkipFrameWords)         \
  X(transfer_words, TransferWords)            \
  X(spilled, Spilled)                         \
  X(spill_offset, SpillOffset)

struct Instruction {
#define INSTRUCTION_MEMBER(member, name) ap_uint<hw::instruction::k##name##Bits> member;
  INSTRUCTION_FIELDS(INSTRUCTION_MEMBER)
#undef INSTRUCTION_MEMBER
};

// Kernel positions times input tiles: weight tiles of one output tile, and steps of the sum. (A free function: types
// that travel on a stream have no methods.)
inline int taps_of(const Instruction& d) { return int(d.kernel_height) * int(d.kernel_width) * int(d.input_tiles); }

constexpr int kInstructionWords = hw::instruction::kWords;
typedef ap_uint<kInstructionWords * hw::kWordBits> instruction_bits;

inline Instruction decode(const instruction_bits& bits) {
  Instruction d;
#define INSTRUCTION_DECODE(member, name) \
  d.member =                             \
      bits.range(hw::instruction::k##name##Lsb + hw::instruction::k##name##Bits - 1, hw::instruction::k##name##Lsb);
  INSTRUCTION_FIELDS(INSTRUCTION_DECODE)
#undef INSTRUCTION_DECODE
  return d;
}

// Output tiles of 32 that the array computes in one pass.
inline int tiles_of_pass(const Instruction& d) { return d.mode == hw::mode::kMultiply4 ? 2 : 1; }

inline int passes_of(const Instruction& d) {
  return d.mode == hw::mode::kMultiply4 ? (int(d.output_tiles) + 1) / 2 : int(d.output_tiles);
}

// Parts that the partial sum of a group has: bit planes of a nibble, or one for each output tile of the pass.
inline int parts_of(const Instruction& d) { return d.mode == hw::mode::kMuxAdd ? kParts : tiles_of_pass(d); }

// Beats of all tiles of the layer in the weight ring.
inline int tile_beats(const Instruction& d) { return passes_of(d) * taps_of(d) * kTileBeats; }

// Bits of one weight tile in memory: whole pairs (check.hpp).
inline int tile_bits(const Instruction& d) {
  return int(d.stored_beats) * kBeatRows * kInputLanes * tiles_of_pass(d) * int(d.storage_bits);
}

inline int tile_pairs(const Instruction& d) { return tile_bits(d) / (2 * hw::kWordBits); }

inline int parameter_pairs(const Instruction& d) { return int(d.output_tiles) * (kOutputLanes / 2); }

// What `fetch` tells `execute`, and `execute` the stages of a layer: one instruction that passed every check and what
// this execution of it covers; with opcode END the status of the call.
struct Command {
  Instruction instruction;  // bases moved to the frame, where the instruction runs once a frame
  uint8_t frames;           // of the group, one behind the other in memory: 1 before `split`
  bool last_group;          // the call's last results: TLAST
  uint16_t blocks;          // ceil(quadruples * frames / block_quadruples)
  uint16_t ring_base;       // first beat of the tiles in the weight ring; with END: tiles to give back
  bool tiles_arrive;        // the tiles are read from memory for this execution: await them
  bool tiles_leave;         // last use of the tiles in this call: give their room back
  uint32_t status;
};

// What `fetch` tells `read_weights` (one for each plane) and `unpack_weights` for each execution of a CONVOLVE.
struct WeightRequest {
  uint32_t first_pair;
  uint32_t parameter_pairs;
  uint32_t tile_pairs;  // of one pass over the tiles; 0 where they are in the ring already
  uint32_t tile_beats;  // the same, as beats of the ring
  uint32_t passes;      // blocks, or 1 when the tiles stay in the ring
  uint16_t ring_base;   // first beat in the ring; passes follow each other
  ap_uint<4> storage_bits;
  ap_uint<4> stored_beats;  // of a tile; the next tile begins kTileBeats behind
  ap_uint<2> mode;
  bool last;  // no request: the call is over
};
