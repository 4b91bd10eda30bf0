#include "stages.hpp"

#include "counters.hpp"
#include "gather.hpp"

// The loop it means:
//
//   for frame, row and column group of the output, channel tile, step, slot:
//     for kernel row, kernel column:   combine 16 codes of one pixel
//     append to the train of the slot; a full word goes to the slot's bank
//
// A pixel a cycle: networks pool little, so one unit of 16 lanes is enough. A maximum keeps the width of its codes, so
// it takes a whole train word at once: the bytes pass through the same loop as codes of 8 bits, `step` counts words,
// and only the comparison sees the codes inside a byte. A map of one column (a global pool) has slot 0 alone; the other
// slots of an incomplete column group are computed and not stored.
//
// One function in place of a dataflow region: its reads and writes never meet, because the compiler places input and
// output apart. II = 1: the recurrence is one maximum or one 17-bit sum a lane, and one OR a bit of the train word;
// a cycle has one read, with one address for all banks, and at most one write. Output words follow each other in memory
// in this order, so the address is a counter.
void pool(const Command& c, const ActivationMemory activations_read, ActivationMemory activations_write,
          uint32_t& stored_words) {
  HLS(INLINE off)
  const Instruction& d = c.instruction;
  const bool maximum = d.pool_kind == hw::pool::kMaximum;
  Tensor input = input_tensor(d);
  if (maximum) input.bits = 8;
  const int bits = maximum ? 8 : int(d.output_bits);
  const int steps = maximum ? int(d.output_train_words) : int(d.num_steps);
  const int slots = int(d.output_width) == 1 ? 1 : kSlots;
  const int row_stride = d.row_stride, column_stride = d.column_stride;
  const int code_bits = d.input_bits, shift = d.pool_shift;
  fabric_int<17> value[kInputLanes];  // 256 codes of 8 bits
  HLS(ARRAY_PARTITION variable = value complete)
  word_t train[kSlots];
  HLS(ARRAY_PARTITION variable = train complete)
  uint8_t code[kInputLanes], pooled[kInputLanes];
  HLS(ARRAY_PARTITION variable = code complete)
  HLS(ARRAY_PARTITION variable = pooled complete)

  int kernel_column = 0, kernel_row = 0, slot = 0, step = 0, tile = 0, group = 0, row = 0, frame = 0;
  int offset = 0;  // of the frame, behind the first
  int words = 0;
  bool running = true;
pool_windows:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 4000000 avg = 40000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = activations_write type = inter dependent = false)
    const int column = group * kSlots + slot;
    read_pixel(activations_read, input, offset, window_start(row, row_stride) + kernel_row,
               window_start(column, column_stride) + kernel_column, tile, step, code);
    const bool first = kernel_row == 0 && kernel_column == 0;
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      const int v = first ? 0 : int(value[lane]), k = code[lane];
      value[lane] = maximum ? int(maximum_codes(uint8_t(v), uint8_t(k), code_bits)) : v + k;
      // Rounding half up adds the last bit that is shifted out.
      const int shifted = (2 * int(value[lane])) >> shift;
      pooled[lane] = uint8_t(maximum ? int(value[lane]) : (shifted >> 1) + (shifted & 1));
    }

    bool carry = true;
    count(kernel_column, d.kernel_width, carry);
    count(kernel_row, d.kernel_height, carry);
    if (carry) {
      int word, bit;
      train_place(step, bits, word, bit);
      const bool full = bit + bits == 8 || step == steps - 1;
      const word_t placed = place_codes(pooled, bit);
      train[slot] = bit == 0 ? placed : word_t(train[slot] | placed);
      for (int bank = 0; bank < kBanks; ++bank) {
        UNROLL
        if (full && bank == slot && column < int(d.output_width)) {
          activations_write[bank][int(d.output_base) + words] = train[slot];
        }
      }
      if (full && slot == slots - 1) ++words;
    }
    count(slot, slots, carry);
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
