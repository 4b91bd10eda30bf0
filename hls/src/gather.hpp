// Reading pixels of a spike train from the activation memory: four neighbours at once, or one.
#pragma once

#include "arithmetic.hpp"
#include "instruction.hpp"

// A tensor in the activation memory, in bank words.
struct Tensor {
  int base;  // of the group's first frame
  int height;
  int width;
  int row_words;    // from a row to the next
  int group_words;  // from a column group to the next: all channel tiles of a pixel
  int train_words;
  int bits;  // of a code
};

inline Tensor input_tensor(const Instruction& d) {
  HLS(INLINE)
  const int group_words = words_before(d.input_channel_tiles, d.input_train_words);
  const int row_words = words_before(d.input_column_groups, group_words);
  return Tensor{int(d.input_base), int(d.input_height),      int(d.input_width), row_words,
                group_words,       int(d.input_train_words), int(d.input_bits)};
}

inline Tensor skip_tensor(const Instruction& d) {
  HLS(INLINE)
  const int group_words = words_before(d.skip_channel_tiles, d.skip_train_words);
  const int row_words = words_before(d.skip_column_groups, group_words);
  return Tensor{int(d.skip_base), int(d.skip_height),      int(d.skip_width), row_words,
                group_words,      int(d.skip_train_words), int(d.skip_bits)};
}

// Four pixels `stride` columns apart lie in 4 different banks for an odd stride, in 2 for an even one, in 1 for a
// multiple of 4: reading them takes this many cycles.
inline int bank_phases(int stride) {
  HLS(INLINE)
  const int lowest = stride & -stride;
  return lowest < kBanks ? lowest : kBanks;
}

// Slots read in `phase`: kBanks / phases neighbouring ones.
inline bool slot_in_phase(int slot, int phase, int phases) {
  HLS(INLINE)
  return ((slot * phases) & ~(kBanks - 1)) == phase * kBanks;
}

// Read the code number `index` of the trains of channel tile `tile`, for slots at (row, column + slot * stride) that
// belong to `phase`, of the frame `offset` words behind the first; zero outside the map or where `present` is false.
// One read of each bank: the ports of one cycle. The products are feed-forward (they feed no counter), so they
// pipeline: four DSPs in place of a chain of address adders.
inline void gather(const ActivationMemory activations, const Tensor& tensor, int offset, int row, int column,
                   int stride, int tile, int index, int phase, int phases, bool present,
                   uint8_t code[kSlots][kInputLanes]) {
  HLS(INLINE)
  int word, bit;
  train_place(index, tensor.bits, word, bit);
  const bool row_inside = present && row >= 0 && row < tensor.height;
  const int row_address =
      tensor.base + offset + words_before(row, tensor.row_words) + words_before(tile, tensor.train_words) + word;

  int bank_address[kBanks];
  HLS(ARRAY_PARTITION variable = bank_address complete)
  bool inside[kSlots];
  HLS(ARRAY_PARTITION variable = inside complete)
  for (int bank = 0; bank < kBanks; ++bank) {
    UNROLL
    bank_address[bank] = tensor.base;
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    const int slot_column = column + slot * stride;
    inside[slot] = row_inside && slot_column >= 0 && slot_column < tensor.width;
    if (inside[slot] && slot_in_phase(slot, phase, phases)) {
      bank_address[slot_column & (kBanks - 1)] = row_address + words_before(slot_column / kBanks, tensor.group_words);
    }
  }

  word_t words[kBanks];
  HLS(ARRAY_PARTITION variable = words complete)
  for (int bank = 0; bank < kBanks; ++bank) {
    UNROLL
    words[bank] = activations[bank][bank_address[bank]];
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    if (!slot_in_phase(slot, phase, phases)) continue;
    uint8_t codes[kInputLanes];
    HLS(ARRAY_PARTITION variable = codes complete)
    extract_codes(words[(column + slot * stride) & (kBanks - 1)], bit, tensor.bits, codes);
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      code[slot][lane] = inside[slot] ? codes[lane] : uint8_t(0);
    }
  }
}

// Read the codes of one pixel alone. Every bank is given the same address, and the column's bank is chosen afterwards.
inline void read_pixel(const ActivationMemory activations, const Tensor& tensor, int offset, int row, int column,
                       int tile, int index, uint8_t code[kInputLanes]) {
  HLS(INLINE)
  int word, bit;
  train_place(index, tensor.bits, word, bit);
  const bool inside = row < tensor.height && column < tensor.width;
  int address = tensor.base;
  if (inside) {
    address += offset + words_before(row, tensor.row_words) + words_before(column / kBanks, tensor.group_words) +
               words_before(tile, tensor.train_words) + word;
  }
  word_t words[kBanks];
  HLS(ARRAY_PARTITION variable = words complete)
  for (int bank = 0; bank < kBanks; ++bank) {
    UNROLL
    words[bank] = activations[bank][address];
  }
  uint8_t codes[kInputLanes];
  HLS(ARRAY_PARTITION variable = codes complete)
  extract_codes(words[column & (kBanks - 1)], bit, tensor.bits, codes);
  for (int lane = 0; lane < kInputLanes; ++lane) {
    UNROLL
    code[lane] = inside ? codes[lane] : uint8_t(0);
  }
}
