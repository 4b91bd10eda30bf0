#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

// The paper's integration unit, 32 lanes wide, one slot a cycle. The loop it means:
//
//   for block, output tile, quadruple of the block:
//     v[4 slots] = initial membrane
//     for step, slot:   v = charge(v, scale(sum));  fire;  v = reset(v)
//
// All steps of a quadruple come before the next, so the membrane never leaves this stage. With one input step and
// T > 1 (a static image) the sums are held and replayed. The head sums its currents over the steps instead of firing.
//
// II = 1: the membrane of a slot is read kSlots = 4 iterations after it was written: one cycle for the read, three for
// charge (one 36-bit sum and a saturation), fire and reset; scale and residual are feed-forward. The slots of a lane
// share one LUTRAM, because DEPENDENCE tells the scheduler of that distance only where the access is a memory's. As
// registers, whether indexed by slot or shifted as a delay line, the membranes would be scalars, each carried from one
// iteration to the next: a recurrence of distance 1, with all of charge, fire and reset in one cycle.
// The logits are such scalars. Their recurrence is one selected 32-bit sum, which fits in a cycle.
void integrate(const Instruction d, hls::stream<word_t>& parameters, hls::stream<PartialSum>& partial_sums,
               hls::stream<Residual>& current_residuals, hls::stream<Fired>& fired, hls::stream<Logits>& logits) {
  ChannelParameters channel[kMaximumOutputTiles][kOutputLanes];
  HLS(ARRAY_PARTITION variable = channel complete dim = 2)
  HLS(AGGREGATE variable = channel compact = bit)
  HLS(BIND_STORAGE variable = channel type = ram_2p impl = lutram)
  int32_t membrane[kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = membrane complete dim = 2)
  HLS(BIND_STORAGE variable = membrane type = ram_2p impl = lutram)
  uint32_t logit[kOutputLanes];  // the low half of the sum is the result: modulo 2^32 is exact
  HLS(ARRAY_PARTITION variable = logit complete)

load_parameters:
  for (int i = 0; i < int(d.output_tiles) * kOutputLanes; ++i) {
    HLS(LOOP_TRIPCOUNT min = 32 max = 2048 avg = 128)
    PIPELINE(1);
    channel[i / kOutputLanes][i & (kOutputLanes - 1)] = decode_parameters(parameters.read());
  }

  const bool replay = d.input_steps != d.num_steps;
  const bool has_residual = d.skip_mode == hw::skip::kCurrent;
  const int last_step = int(d.num_steps) - 1;
  int slot = 0, step = 0, quadruple = 0, output_tile = 0;
  bool running = true;
  int remaining = d.quadruples;
  int length = block_length(remaining, d.block_quadruples);
  PartialSum sums;
  HLS(ARRAY_PARTITION variable = sums.sum complete dim = 0)
  Residual residual;
  HLS(ARRAY_PARTITION variable = residual.code complete dim = 0)

charge_fire_reset:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 1000000 avg = 10000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = membrane type = inter direction = RAW distance = kSlots dependent = true)
    if (slot == 0) {
      if (step == 0 || !replay) sums = partial_sums.read();
      if (has_residual) residual = current_residuals.read();
    }
    Fired codes;
    HLS(ARRAY_PARTITION variable = codes.code complete)
    Logits result;
    HLS(ARRAY_PARTITION variable = result.sum complete)
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      UNROLL
      const ChannelParameters& p = channel[output_tile][lane];
      const current_t u = scale(sums.sum[slot][lane], p);
      const skip_current_t extra = has_residual ? skip_current(residual.code[slot][lane], p) : skip_current_t(0);
      const int32_t v = step == 0 ? p.initial_membrane : membrane[slot][lane];
      const int32_t charged = charge(v, u, extra, d.leak_enable, d.leak_shift);
      codes.code[lane] = fire(charged, d.s_max);
      membrane[slot][lane] = reset(charged, codes.code[lane], d.reset_mode == hw::reset::kZero);
      if (slot == 0) logit[lane] = (step == 0 ? 0 : logit[lane]) + uint32_t(int64_t(u));
      result.sum[lane] = int32_t(logit[lane]);
    }
    if (!d.head) {
      fired.write(codes);
    } else if (slot == 0 && step == last_step) {
      logits.write(result);
    }

    bool carry = true;
    count(slot, kSlots, carry);
    count(step, d.num_steps, carry);
    count(quadruple, length, carry);
    count(output_tile, d.output_tiles, carry);
    if (carry) {
      remaining -= length;
      running = remaining > 0;
      length = block_length(remaining, d.block_quadruples);
    }
  }
}
