#include "stages.hpp"

#include "counters.hpp"
#include "gather.hpp"

// The loop it means:
//
//   for block, output tile:
//     for kernel row, kernel column, input tile:
//       for quadruple of the block, input step, phase:     operand of 4 slots x 16 codes
//     if residual:
//       for quadruple of the block, step, half, phase:     residual of 4 slots x 32 codes
//
// Phase: see bank_phases. The residual comes after the operands: the partial-sum stream holds a whole block, so
// `accumulate` finishes it whatever the depth of the residual stream, and integrate or store take the residuals as they
// go. Sent first, a replayed block (input step 1, up to block_groups * T residuals) would fill any residual stream and
// stop the operands behind it.
//
// II = 1: the recurrence is the counters' carry chain, compares against registers; addresses are feed-forward. Each
// cycle reads every bank once.
void feed(const Instruction d, const ActivationMemory activations, hls::stream<Operand>& operands,
          hls::stream<Residual>& current_residuals, hls::stream<Residual>& spike_residuals) {
  const Tensor input = input_tensor(d), skip = skip_tensor(d);
  const bool has_residual = d.skip_mode != hw::skip::kNone;
  const int stride = d.stride, skip_stride = d.skip_stride;
  const int input_phases = bank_phases(stride), skip_phases = bank_phases(skip_stride);

  int phase = 0, half = 0, step = 0, quadruple = 0;
  int row = 0, group = 0;              // output position of the quadruple
  int block_row = 0, block_group = 0;  // of the block's first
  int input_tile = 0, kernel_column = 0, kernel_row = 0, output_tile = 0;
  bool in_residual = false, running = true;
  int remaining = d.quadruples;
  int length = block_length(remaining, d.block_quadruples);
  Operand operand;
  HLS(ARRAY_PARTITION variable = operand.code complete dim = 0)
  Residual residual;
  HLS(ARRAY_PARTITION variable = residual.code complete dim = 0)

send_codes:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 64 max = 1000000 avg = 40000)
    PIPELINE(1);
    const int phases = in_residual ? skip_phases : input_phases;
    const int step_of_slots = in_residual ? skip_stride : stride;
    const int first_column = group * kSlots * step_of_slots;
    const int tile =
        in_residual ? (int(d.output_first_tile) + output_tile) * kHalves + half : int(d.input_first_tile) + input_tile;
    uint8_t code[kSlots][kInputLanes];
    HLS(ARRAY_PARTITION variable = code complete dim = 0)
    gather(activations, in_residual ? skip : input,
           in_residual ? row * skip_stride : row * stride + kernel_row - int(d.padding),
           in_residual ? first_column : first_column + kernel_column - int(d.padding), step_of_slots, tile, step, phase,
           phases, !in_residual || tile < int(d.skip_channel_tiles), code);
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      if (!slot_in_phase(slot, phase, phases)) continue;
      for (int lane = 0; lane < kInputLanes; ++lane) {
        UNROLL
        operand.code[slot][lane] = code[slot][lane];
        residual.code[slot][half * kInputLanes + lane] = code[slot][lane];
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
    count(step, in_residual ? int(d.num_steps) : int(d.input_steps), carry);
    if (carry) {
      if (++group == int(d.output_column_groups)) {
        group = 0;
        ++row;
      }
    }
    count(quadruple, length, carry);
    const int next_row = row, next_group = group;  // of the next block, where this block ends
    if (carry) {
      row = block_row;
      group = block_group;
    }
    count(input_tile, in_residual ? 1 : int(d.input_tiles), carry);
    count(kernel_column, in_residual ? 1 : int(d.kernel_width), carry);
    count(kernel_row, in_residual ? 1 : int(d.kernel_height), carry);
    if (carry && has_residual) {
      in_residual = !in_residual;
      carry = !in_residual;
    }
    count(output_tile, d.output_tiles, carry);
    if (carry) {
      row = block_row = next_row;
      group = block_group = next_group;
      remaining -= length;
      running = remaining > 0;
      length = block_length(remaining, d.block_quadruples);
    }
  }
}
