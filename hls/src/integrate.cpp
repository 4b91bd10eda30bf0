#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

namespace {

// Membranes that one cycle updates: half of the slots.
constexpr int kScaleUnits = kSlots * kOutputLanes / 2;

}  // namespace

// The paper's integration unit, 32 lanes wide, two slots a cycle. The loop it means:
//
//   for block, pass, quadruple of the block:
//     v[output tile][slot] = initial membrane
//     for step, output tile of the pass:   v = charge(v, scale(sum));  fire;  v = reset(v)
//
// All steps of a quadruple come before the next, so the membrane never leaves this stage. A token of sums serves both
// output tiles of a pass (MULTIPLY4) or the steps of a nibble (MUX_ADD), one part each; with one input step and T > 1
// (a static image) it is held and replayed for every step. The head sums its currents over the steps instead of firing.
//
// Parameters come first, II = 1: a word a cycle, into the memory of its lane.
//
// One iteration takes a step of four slots: II = 2. Two slots a cycle are needed where a 3x3 layer of 16 channels and
// 1-bit codes makes the sums of 4 steps in 9 cycles. The recurrence of a membrane, a register, has two cycles: charge
// (shift, one 36-bit sum, saturation), then fire and reset (compare, 16-bit subtraction). Scale and residual are
// feed-forward. An iteration scales 128 sums and may take two cycles for it, so 64 units of two DSPs do; ALLOCATION
// says so, because the tool would rather have 128. The logits' recurrence is one selected 32-bit sum.
void integrate(const Command c, hls::stream<word_t>& parameters, hls::stream<PartialSum> partial_sums[kParts],
               hls::stream<Residual>& current_residuals, hls::stream<Fired>& fired, hls::stream<Logits>& logits) {
  HLS(ALLOCATION function instances = scale limit = kScaleUnits)
  HLS(ALLOCATION function instances = skip_current limit = kScaleUnits)
  const Instruction d = c.instruction;
  ChannelParameters channel[kMaximumOutputTiles][kOutputLanes];
  HLS(ARRAY_PARTITION variable = channel complete dim = 2)
  HLS(AGGREGATE variable = channel compact = bit)
  HLS(BIND_STORAGE variable = channel type = ram_2p impl = lutram)
  int32_t membrane[kPassTiles][kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = membrane complete dim = 0)
  uint32_t logit[kPassTiles][kOutputLanes];  // the low half of the sum is the result: modulo 2^32 is exact
  HLS(ARRAY_PARTITION variable = logit complete dim = 0)

load_parameters:
  for (int i = 0; i < int(d.output_tiles) * kOutputLanes; ++i) {
    HLS(LOOP_TRIPCOUNT min = 32 max = 2048 avg = 128)
    PIPELINE(1);
    channel[i / kOutputLanes][i & (kOutputLanes - 1)] = decode_parameters(parameters.read());
  }

  const bool head = d.head, leak_enable = d.leak_enable, to_zero = d.reset_mode == hw::reset::kZero;
  const int leak_shift = d.leak_shift, skip_bits = d.skip_bits;
  const uint8_t s_max = d.s_max;
  const bool replay = d.input_steps != d.num_steps, nibbles = d.mode == hw::mode::kMuxAdd && !replay;
  const bool has_residual = d.skip_mode == hw::skip::kCurrent;
  const int last_step = int(d.num_steps) - 1;
  const int parts = parts_of(d);
  const int token_steps = nibbles ? parts : replay ? int(d.num_steps) : 1;
  int pass_tile = 0, step = 0, quadruple = 0;
  int token_step = 0;  // step since the last token
  int first_tile = 0;  // of the pass
  int pass_tiles = piece(d.output_tiles, tiles_of_pass(d));
  int remaining = quadruples_of(c);
  int length = piece(remaining, d.block_quadruples);
  PartialSum sums[kParts];
  HLS(ARRAY_PARTITION variable = sums complete dim = 0)
  Residual residual[kPassTiles];
  HLS(ARRAY_PARTITION variable = residual complete dim = 0)

charge_fire_reset:
  while (remaining > 0) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 500000 avg = 5000)
    PIPELINE(2);
    if (pass_tile == 0 && token_step == 0) {
      for (int part = 0; part < kParts; ++part) {
        UNROLL
        if (part < parts) sums[part] = partial_sums[part].read();
      }
    }
    int residual_word, residual_bit;
    train_place(step, skip_bits, residual_word, residual_bit);
    if (has_residual && residual_bit == 0) residual[pass_tile] = current_residuals.read();
    const int part = nibbles ? token_step : pass_tile;
    Fired codes;
    HLS(ARRAY_PARTITION variable = codes.code complete dim = 0)
    Logits result;
    HLS(ARRAY_PARTITION variable = result.sum complete)
    ChannelParameters p[kOutputLanes];
    HLS(ARRAY_PARTITION variable = p complete)
    half_t half[kOutputLanes], skip_half[kOutputLanes];
    HLS(ARRAY_PARTITION variable = half complete)
    HLS(ARRAY_PARTITION variable = skip_half complete)
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      UNROLL
      p[lane] = channel[first_tile + pass_tile][lane];
      half[lane] = rounding_half(p[lane].shift);
      skip_half[lane] = rounding_half(p[lane].skip_shift);
    }
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      charge_t input[kOutputLanes];
      HLS(ARRAY_PARTITION variable = input complete)
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        UNROLL
        input[lane] = scale(sums[part].sum[slot][lane], p[lane].multiplier, half[lane], p[lane].shift, p[lane].bias);
      }
      if (slot == 0) {
        for (int lane = 0; lane < kOutputLanes; ++lane) {
          UNROLL
          const uint32_t sum = (step == 0 ? 0 : logit[pass_tile][lane]) + uint32_t(int64_t(input[lane]));
          logit[pass_tile][lane] = sum;
          result.sum[lane] = int32_t(sum);
        }
      }
      if (has_residual) {
        for (int lane = 0; lane < kOutputLanes; ++lane) {
          UNROLL
          const uint8_t code = code_of_byte(residual[pass_tile].byte[slot][lane], residual_bit, skip_bits);
          input[lane] += skip_current(code, p[lane].skip_multiplier, skip_half[lane], p[lane].skip_shift);
        }
      }
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        UNROLL
        const int32_t v = step == 0 ? p[lane].initial_membrane : membrane[pass_tile][slot][lane];
        const int32_t charged = charge(v, input[lane], leak_enable, leak_shift);
        const uint8_t s = fire(charged, s_max);
        membrane[pass_tile][slot][lane] = reset(charged, s, to_zero);
        codes.code[slot][lane] = s;
      }
    }
    if (!head) {
      fired.write(codes);
    } else if (step == last_step) {
      logits.write(result);
    }

    bool carry = true;
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
