// An instruction as named fields. Widths and places come from hw_spec.hpp; only the list of names stands here.
#pragma once

#include "types.hpp"

// X(member, name of its constants)
#define INSTRUCTION_FIELDS(X)                 \
  X(opcode, Opcode)                           \
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
  X(kernel_height, KernelHeight)              \
  X(kernel_width, KernelWidth)                \
  X(stride, Stride)                           \
  X(padding, Padding)                         \
  X(storage_bits, StorageBits)                \
  X(input_base, InputBase)                    \
  X(input_height, InputHeight)                \
  X(input_width, InputWidth)                  \
  X(input_column_groups, InputColumnGroups)   \
  X(input_channel_tiles, InputChannelTiles)   \
  X(input_first_tile, InputFirstTile)         \
  X(input_tiles, InputTiles)                  \
  X(input_bits, InputBits)                    \
  X(input_train_words, InputTrainWords)       \
  X(output_base, OutputBase)                  \
  X(output_height, OutputHeight)              \
  X(output_width, OutputWidth)                \
  X(output_column_groups, OutputColumnGroups) \
  X(output_channel_tiles, OutputChannelTiles) \
  X(output_first_tile, OutputFirstTile)       \
  X(output_tiles, OutputTiles)                \
  X(output_bits, OutputBits)                  \
  X(output_train_words, OutputTrainWords)     \
  X(num_classes, NumClasses)                  \
  X(quadruples, Quadruples)                   \
  X(block_quadruples, BlockQuadruples)        \
  X(blocks, Blocks)                           \
  X(weight_resident, WeightResident)          \
  X(weight_offset, WeightOffset)              \
  X(weight_words, WeightWords)                \
  X(skip_base, SkipBase)                      \
  X(skip_height, SkipHeight)                  \
  X(skip_width, SkipWidth)                    \
  X(skip_column_groups, SkipColumnGroups)     \
  X(skip_channel_tiles, SkipChannelTiles)     \
  X(skip_stride, SkipStride)                  \
  X(skip_bits, SkipBits)                      \
  X(skip_train_words, SkipTrainWords)         \
  X(receive_words, ReceiveWords)

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

// What `fetch` tells `execute`: an instruction that passed every check, or with opcode END the status of the call.
struct Command {
  Instruction instruction;
  bool last_frame;
  uint32_t status;
};

// What `fetch` tells `read_weights` and `unpack_weights` for each CONVOLVE.
struct WeightRequest {
  uint32_t first_word;
  uint32_t parameter_words;
  uint32_t tile_words;  // of one pass over the tiles
  uint32_t tile_beats;  // the same, unpacked to 8 bits
  uint32_t passes;      // blocks, or 1 when the tiles stay in the weight buffer
  ap_uint<4> storage_bits;
  bool last;  // no request: the call is over
};
