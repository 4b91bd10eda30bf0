#include "stages.hpp"

#include "counters.hpp"
#include "gather.hpp"

// The loop it means:
//
//   for frame, quadruple of the output, channel tile, step:
//     for kernel row, kernel column, phase:   combine 4 slots x 16 codes
//     append to the train; write a full word of the four banks
//
// A maximum keeps the width of its codes, so it takes a whole train word at once: the bytes pass through the same loop
// as codes of 8 bits, `step` counts words, and only the comparison sees the codes inside a byte.
//
// A map of one column (a global pool) uses slot 0 alone. Its other slots compute what is not stored, so they may read
// neighbouring columns, which lie in four banks: one phase, whatever the stride.
//
// One function in place of a dataflow region: its reads and writes never meet, because the compiler places input and
// output apart. II = 1: the recurrence is one maximum or one 16-bit sum a lane. Output words follow each other in
// memory in this order, so the address is a counter.
void pool(const Command& c, const ActivationMemory activations_read, ActivationMemory activations_write,
          uint32_t& stored_words) {
  HLS(INLINE off)
  const Instruction& d = c.instruction;
  const bool maximum = d.pool_kind == hw::pool::kMaximum;
  Tensor input = input_tensor(d);
  if (maximum) input.bits = 8;
  const int bits = maximum ? 8 : int(d.output_bits);
  const int steps = maximum ? int(d.output_train_words) : int(d.num_steps);
  const int row_stride = d.row_stride, column_stride = int(d.output_width) == 1 ? 1 : int(d.column_stride);
  const int phases = bank_phases(column_stride);
  const int code_bits = d.input_bits;
  const int shift = d.pool_shift, half = (1 << shift) >> 1;
  fabric_int<18> value[kSlots][kInputLanes];  // 256 codes of 8 bits, and the rounding half
  HLS(ARRAY_PARTITION variable = value complete dim = 0)
  word_t train[kSlots];
  HLS(ARRAY_PARTITION variable = train complete)
  uint8_t code[kSlots][kInputLanes];
  HLS(ARRAY_PARTITION variable = code complete dim = 0)

  int phase = 0, kernel_column = 0, kernel_row = 0, step = 0, tile = 0, group = 0, row = 0, frame = 0;
  int offset = 0;  // of the frame, behind the first
  int words = 0;
  bool running = true;
pool_windows:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 1000000 avg = 10000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = activations_write type = inter dependent = false)
    gather(activations_read, input, offset, window_start(row, row_stride) + kernel_row,
           kSlots * window_start(group, column_stride) + kernel_column, column_stride, tile, step, phase, phases, true,
           code);
    const bool first = kernel_row == 0 && kernel_column == 0;
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      if (!slot_in_phase(slot, phase, phases)) continue;
      for (int lane = 0; lane < kInputLanes; ++lane) {
        UNROLL
        const uint8_t k = code[slot][lane];
        const int v = value[slot][lane];
        const int combined = maximum ? int(maximum_codes(uint8_t(v), k, code_bits)) : v + int(k);
        value[slot][lane] = first ? int(k) : combined;
      }
    }

    bool carry = true;
    count(phase, phases, carry);
    count(kernel_column, d.kernel_width, carry);
    count(kernel_row, d.kernel_height, carry);
    if (carry) {
      int word, bit;
      train_place(step, bits, word, bit);
      const bool full = bit + bits == 8 || step == steps - 1;
      for (int slot = 0; slot < kSlots; ++slot) {
        UNROLL
        uint8_t pooled[kInputLanes];
        HLS(ARRAY_PARTITION variable = pooled complete)
        for (int lane = 0; lane < kInputLanes; ++lane) {
          UNROLL
          pooled[lane] = uint8_t(maximum ? int(value[slot][lane]) : (int(value[slot][lane]) + half) >> shift);
        }
        const word_t placed = place_codes(pooled, bit);
        train[slot] = bit == 0 ? placed : word_t(train[slot] | placed);
        if (full && group * kSlots + slot < int(d.output_width)) {
          activations_write[slot][int(d.output_base) + words] = train[slot];
        }
      }
      if (full) ++words;
    }
    count(step, steps, carry);
    count(tile, d.output_channel_tiles, carry);
    count(group, d.output_column_groups, carry);
    count(row, d.output_height, carry);
    if (carry) offset += int(d.input_frame_words);
    count(frame, c.frames, carry);
    running = !carry;
  }
  stored_words = words;
}
