#include "stages.hpp"

#include "counters.hpp"
#include "gather.hpp"

namespace {

// Where a quadruple lies: its row and column group in the computed map, and how far its frame lies behind the first.
struct Place {
  int row;
  int group;
  int input_offset;
  int skip_offset;
};

// To the next quadruple: raster order; where 2x2 maxima are fused, the two rows of a pair alternate.
inline void advance(Place& place, const Instruction& d) {
  HLS(INLINE)
  if (d.pooled && (place.row & 1) == 0) {
    ++place.row;
    return;
  }
  if (place.group + 1 < int(d.output_column_groups)) {
    ++place.group;
    if (d.pooled) --place.row;
    return;
  }
  place.group = 0;
  if (place.row + 1 < int(d.output_height)) {
    ++place.row;
    return;
  }
  place.row = 0;
  place.input_offset += int(d.input_frame_words);
  place.skip_offset += int(d.skip_frame_words);
}

}  // namespace

// The loop it means:
//
//   for block, pass:
//     for kernel row, kernel column, input tile:
//       for quadruple of the block, chunk, phase:                          operand of 4 slots x 16 codes
//     if residual:
//       for quadruple of the block, train word, output tile of the pass, half, phase:   residual of 4 slots x 32 bytes
//
// Phase: see bank_phases. A chunk is a code, or in mode MUX_ADD a nibble, read as if the train held codes of 4 bits.
// The residual comes after the operands: the partial-sum stream holds a whole block, so `accumulate` finishes it
// whatever the depth of the residual stream, and integrate or store take the residuals as they go. Sent first, a
// replayed block (input step 1, many steps) would fill any residual stream and stop the operands
// behind it.
//
// II = 1: the recurrence is the counters' carry chain, compares against registers; addresses are feed-forward. Each
// cycle reads every bank once.
void feed(const Command c, const ActivationMemory activations, hls::stream<Operand>& operands,
          hls::stream<Residual>& current_residuals, hls::stream<Residual>& spike_residuals) {
  const Instruction d = c.instruction;
  Tensor input = input_tensor(d);
  if (d.mode == hw::mode::kMuxAdd) input.bits = kNibbleBits;
  Tensor skip = skip_tensor(d);
  skip.bits = 8;  // whole words: one read serves all steps in it
  const bool has_residual = d.skip_mode != hw::skip::kNone;
  const int column_stride = d.column_stride, skip_stride = d.skip_stride;
  const int input_phases = bank_phases(column_stride), skip_phases = bank_phases(skip_stride);

  int phase = 0, half = 0, pass_tile = 0, index = 0, quadruple = 0;
  int input_tile = 0, kernel_column = 0, kernel_row = 0;
  int first_tile = 0;  // output tile of the pass
  bool in_residual = false, running = true;
  Place place = {0, 0, 0, 0}, block_place = place;  // of the quadruple, of the block's first
  int remaining = quadruples_of(c);
  int length = piece(remaining, d.block_quadruples);
  int pass_tiles = piece(d.output_tiles, tiles_of_pass(d));
  Operand operand;
  HLS(ARRAY_PARTITION variable = operand.code complete dim = 0)
  Residual residual;
  HLS(ARRAY_PARTITION variable = residual.byte complete dim = 0)

send_codes:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 64 max = 1000000 avg = 40000)
    PIPELINE(1);
    const int phases = in_residual ? skip_phases : input_phases;
    const int stride = in_residual ? skip_stride : column_stride;
    const int first_column = kSlots * window_start(place.group, stride);
    const int first_row = window_start(place.row, in_residual ? skip_stride : int(d.row_stride));
    const int row = in_residual ? first_row : first_row + kernel_row - int(d.padding_top);
    const int column = in_residual ? first_column : first_column + kernel_column - int(d.padding_left);
    const int tile = in_residual ? (int(d.output_first_tile) + first_tile + pass_tile) * kHalves + half
                                 : int(d.input_first_tile) + input_tile;
    uint8_t code[kSlots][kInputLanes];
    HLS(ARRAY_PARTITION variable = code complete dim = 0)
    gather(activations, in_residual ? skip : input, in_residual ? place.skip_offset : place.input_offset, row, column,
           stride, tile, index, phase, phases, !in_residual || tile < int(d.skip_channel_tiles), code);
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      if (!slot_in_phase(slot, phase, phases)) continue;
      for (int lane = 0; lane < kInputLanes; ++lane) {
        UNROLL
        operand.code[slot][lane] = code[slot][lane];
        residual.byte[slot][half * kInputLanes + lane] = code[slot][lane];
      }
    }
    if (phase == phases - 1) {
      if (!in_residual) {
        operands.write(operand);
      } else if (half == kHalves - 1) {
        if (d.skip_mode == hw::skip::kCurrent) {
          current_residuals.write(residual);
        } else {
          spike_residuals.write(residual);
        }
      }
    }

    bool carry = true;
    count(phase, phases, carry);
    count(half, in_residual ? kHalves : 1, carry);
    count(pass_tile, in_residual ? pass_tiles : 1, carry);
    count(index, in_residual ? int(d.skip_train_words) : int(d.chunks), carry);
    if (carry) advance(place, d);
    count(quadruple, length, carry);
    const Place next_place = place;  // of the next block, where this block ends
    if (carry) place = block_place;
    count(input_tile, in_residual ? 1 : int(d.input_tiles), carry);
    count(kernel_column, in_residual ? 1 : int(d.kernel_width), carry);
    count(kernel_row, in_residual ? 1 : int(d.kernel_height), carry);
    if (carry && has_residual) {
      in_residual = !in_residual;
      carry = !in_residual;
    }
    count_pass(d, first_tile, pass_tiles, carry);
    if (carry) {
      place = block_place = next_place;
      remaining -= length;
      running = remaining > 0;
      length = piece(remaining, d.block_quadruples);
    }
  }
}
