#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

namespace {

// The sums that the lanes integrate, from the parts of their slot (types.hpp). `part` is the step of the nibble in
// MUX_ADD, whose planes make codes of one bit or two; the output tile of the pass in MULTIPLY4.
inline void complete_sums(int mode, int bits, int part, const int32_t wide[kOutputLanes],
                          const narrow_sum_t narrow[kNarrowParts][kOutputLanes], const spikes_t count[kParts],
                          int32_t sum[kOutputLanes]) {
  HLS(INLINE)
  if (mode == hw::mode::kMultiply8) {
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      UNROLL
      sum[lane] = wide[lane];
    }
  } else if (mode == hw::mode::kMultiply4) {
    for (int lane = 0; lane < kOutputLanes; lane += 2) {
      UNROLL
      const int row = part * (kOutputLanes / 2) + lane / 2;
      sum[lane] = wide[row];
      sum[lane + 1] = int32_t(narrow[0][row]);
    }
  } else {
    constexpr int kBias = 128;
    const bool two = bits == 2;
    const int low = two ? 2 * (part & 1) : part & 3, high = low | 1;
    const int32_t bias = kBias * (int32_t(count[low]) + (two ? 2 * int32_t(count[high]) : 0));
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      UNROLL
      const int32_t first = low == 0 ? wide[lane] : int32_t(narrow[low - 1][lane]);
      const int32_t second = two ? 2 * int32_t(narrow[high - 1][lane]) : 0;
      sum[lane] = first + second - bias;
    }
  }
}

}  // namespace

// The paper's integration unit, 32 lanes wide, one slot a cycle. The loop it means:
//
//   for block, pass, quadruple of the block:
//     v[output tile][slot] = initial membrane
//     for step, output tile of the pass, slot:
//       v = charge(v, scale(sum) + residual);  fire;  v = reset(v)
//
// All steps of a quadruple come before the next, so the membrane never leaves this stage. A token of sums serves both
// output tiles of a pass (MULTIPLY4) or the steps of a nibble (MUX_ADD); with one input step and T > 1 (a static image)
// it is held and replayed for every step. The head sums its currents over the steps instead of firing. A residual in
// the current domain takes an iteration of its own, through the same scale units: round_shift(k * m) is their formula,
// and k * m can neither saturate nor does it have a bias.
//
// Parameters come first, II = 1: a word a cycle, into the memory of its lane.
//
// II = 1: the membrane of a slot is read kSlots = 4 iterations after it was written: one cycle for the read, three for
// charge (one 36-bit sum and a saturation), fire and reset; sum, scale and residual are feed-forward. The slots of a
// lane share one LUTRAM, because DEPENDENCE tells the scheduler of that distance only where the access is a memory's.
// The logits are registers: their recurrence is one selected 32-bit sum, which fits in a cycle.
void integrate(const Command c, hls::stream<word_t>& parameters, hls::stream<PartialSum>& partial_sums,
               hls::stream<NarrowSum> narrow_sums[kNarrowParts], hls::stream<SpikeCount>& spike_counts,
               hls::stream<Residual>& current_residuals, hls::stream<Fired>& fired, hls::stream<Logits>& logits) {
  const Instruction d = c.instruction;
  ChannelParameters channel[kMaximumOutputTiles][kOutputLanes];
  HLS(ARRAY_PARTITION variable = channel complete dim = 2)
  HLS(AGGREGATE variable = channel compact = bit)
  HLS(BIND_STORAGE variable = channel type = ram_2p impl = bram)
  int32_t membrane[kPassTiles * kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = membrane complete dim = 2)
  HLS(BIND_STORAGE variable = membrane type = ram_2p impl = lutram)
  uint32_t logit[kPassTiles][kOutputLanes];  // the low half of the sum is the result: modulo 2^32 is exact
  HLS(ARRAY_PARTITION variable = logit complete dim = 0)

load_parameters:
  for (int i = 0; i < int(d.output_tiles) * kOutputLanes; ++i) {
    HLS(LOOP_TRIPCOUNT min = 32 max = 2048 avg = 128)
    PIPELINE(1);
    channel[i / kOutputLanes][i & (kOutputLanes - 1)] = decode_parameters(parameters.read());
  }

  const bool head = d.head, leak_enable = d.leak_enable, to_zero = d.reset_mode == hw::reset::kZero;
  const int mode = d.mode, input_bits = d.input_bits, leak_shift = d.leak_shift, skip_bits = d.skip_bits;
  const uint8_t s_max = d.s_max;
  const bool replay = d.input_steps != d.num_steps, nibbles = mode == hw::mode::kMuxAdd;
  const bool has_residual = d.skip_mode == hw::skip::kCurrent;
  const int last_step = int(d.num_steps) - 1, narrow_parts = parts_of(d) - 1;
  const int token_steps = replay ? int(d.num_steps) : nibbles ? steps_of_nibble(input_bits) : 1;
  bool main = !has_residual;  // not the iteration of the residual
  int slot = 0, pass_tile = 0, step = 0, quadruple = 0;
  int token_step = 0;  // step since the last token
  int first_tile = 0;  // of the pass
  int pass_tiles = piece(d.output_tiles, tiles_of_pass(d));
  int remaining = quadruples_of(c);
  int length = piece(remaining, d.block_quadruples);
  PartialSum wide;
  HLS(ARRAY_PARTITION variable = wide.sum complete dim = 0)
  NarrowSum narrow[kNarrowParts];
  HLS(ARRAY_PARTITION variable = narrow complete dim = 0)
  SpikeCount spikes;
  HLS(ARRAY_PARTITION variable = spikes.count complete dim = 0)
  Residual residual[kPassTiles];
  HLS(ARRAY_PARTITION variable = residual complete dim = 0)
  current_t extra[kOutputLanes];  // current of the slot's residual
  HLS(ARRAY_PARTITION variable = extra complete)

charge_fire_reset:
  while (remaining > 0) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 1000000 avg = 10000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = membrane type = inter direction = RAW distance = kSlots dependent = true)
    const bool first = slot == 0 && main == !has_residual;  // iteration of a step and tile
    if (first && pass_tile == 0 && token_step == 0) {
      wide = partial_sums.read();
      for (int part = 0; part < kNarrowParts; ++part) {
        UNROLL
        if (part < narrow_parts) narrow[part] = narrow_sums[part].read();
      }
      if (nibbles) spikes = spike_counts.read();
    }
    int residual_word, residual_bit;
    train_place(step, skip_bits, residual_word, residual_bit);
    if (first && has_residual && residual_bit == 0) residual[pass_tile] = current_residuals.read();

    // What belongs to the slot: 4:1 choices, before those of the parts.
    int32_t slot_wide[kOutputLanes];
    HLS(ARRAY_PARTITION variable = slot_wide complete)
    narrow_sum_t slot_narrow[kNarrowParts][kOutputLanes];
    HLS(ARRAY_PARTITION variable = slot_narrow complete dim = 0)
    spikes_t slot_spikes[kParts];
    HLS(ARRAY_PARTITION variable = slot_spikes complete)
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      UNROLL
      slot_wide[lane] = wide.sum[slot][lane];
      for (int part = 0; part < kNarrowParts; ++part) {
        UNROLL
        slot_narrow[part][lane] = narrow[part].sum[slot][lane];
      }
    }
    for (int part = 0; part < kParts; ++part) {
      UNROLL
      slot_spikes[part] = spikes.count[part][slot];
    }
    const int part = mode == hw::mode::kMultiply4 ? pass_tile : replay ? 0 : token_step;

    int32_t sum[kOutputLanes];
    HLS(ARRAY_PARTITION variable = sum complete)
    complete_sums(mode, input_bits, part, slot_wide, slot_narrow, slot_spikes, sum);

    Fired codes;
    HLS(ARRAY_PARTITION variable = codes.code complete)
    Logits result;
    HLS(ARRAY_PARTITION variable = result.sum complete)
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      UNROLL
      const ChannelParameters p = channel[first_tile + pass_tile][lane];
      const int32_t k = code_of_byte(residual[pass_tile].byte[slot][lane], residual_bit, skip_bits);
      const current_t u = scale(main ? sum[lane] : k, main ? p.multiplier : p.skip_multiplier,
                                main ? int(p.shift) : int(p.skip_shift), main ? p.bias : 0);
      const int32_t v = step == 0 ? p.initial_membrane : membrane[pass_tile * kSlots + slot][lane];
      const charge_t input = has_residual ? charge_t(charge_t(u) + extra[lane]) : charge_t(u);
      const int32_t charged = charge(v, input, leak_enable, leak_shift);
      const uint8_t s = fire(charged, s_max);
      codes.code[lane] = s;
      if (main) membrane[pass_tile * kSlots + slot][lane] = reset(charged, s, to_zero);
      if (slot == 0 && main) logit[pass_tile][lane] = (step == 0 ? 0 : logit[pass_tile][lane]) + uint32_t(int64_t(u));
      result.sum[lane] = int32_t(logit[pass_tile][lane]);
      extra[lane] = u;
    }
    if (main && !head) fired.write(codes);
    if (main && head && slot == 0 && step == last_step) logits.write(result);

    bool carry = main;
    main = !has_residual || !main;
    count(slot, kSlots, carry);
    count(pass_tile, pass_tiles, carry);
    if (carry) token_step = token_step + 1 == token_steps || step == last_step ? 0 : token_step + 1;
    count(step, d.num_steps, carry);
    count(quadruple, length, carry);
    count_pass(d, first_tile, pass_tiles, carry);
    if (carry) {
      remaining -= length;
      length = piece(remaining, d.block_quadruples);
    }
  }
}
