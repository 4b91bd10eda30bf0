#include "bench.hpp"

#include "stages.hpp"

namespace {

// neuron.py in plain int64, one neuron at a time.
struct Neuron {
  int64_t bias, initial, multiplier, skip_multiplier;
  int shift, skip_shift;

  static int64_t clip(int64_t x) { return x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : x; }
  static int64_t round_shift(int64_t x, int shift) { return (x + ((int64_t(1) << shift) >> 1)) >> shift; }
  int64_t scale(int64_t acc) const { return clip(round_shift(acc * multiplier, shift)) + bias; }
  int64_t residual(int code) const { return round_shift(code * skip_multiplier, skip_shift); }
  word_t word() const {
    using namespace hw::channel_parameters;
    word_t w = 0;
    w.range(kBiasLsb + kBiasBits - 1, kBiasLsb) = ap_int<32>(bias);
    w.range(kInitialMembraneLsb + kInitialMembraneBits - 1, kInitialMembraneLsb) = ap_int<32>(initial);
    w.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb) = ap_int<18>(multiplier);
    w.range(kSkipMultiplierLsb + kSkipMultiplierBits - 1, kSkipMultiplierLsb) = ap_int<18>(skip_multiplier);
    w.range(kShiftLsb + kShiftBits - 1, kShiftLsb) = shift;
    w.range(kSkipShiftLsb + kSkipShiftBits - 1, kSkipShiftLsb) = skip_shift;
    return w;
  }
};

Neuron random_neuron() {
  if (bench::uniform(0, 3) == 0) {  // an edge of the arithmetic
    return Neuron{bench::uniform(0, 1) ? INT32_MIN : INT32_MAX,  bench::uniform(0, 1) ? INT32_MIN : INT32_MAX,
                  bench::uniform(0, 1) ? -131072 : 131071,       bench::uniform(0, 1) ? -131072 : 131071,
                  int(bench::uniform(0, 1)) * hw::kMaximumShift, int(bench::uniform(0, 1)) * hw::kMaximumShift};
  }
  return Neuron{bench::uniform(-70000, 70000),   bench::uniform(-70000, 70000), bench::uniform(-9000, 9000),
                bench::uniform(-131072, 131071), int(bench::uniform(0, 6)),     int(bench::uniform(0, 3))};
}

int32_t random_sum() {
  return int32_t(bench::uniform(0, 9) ? bench::uniform(-300, 300) : bench::uniform(INT32_MIN, INT32_MAX));
}

// Tokens in, tokens out, of one layer.
struct Streams {
  sim::Simulation simulation;
  hls::stream<word_t> parameters{simulation, "parameters"};
  bench::PartialSums sums{simulation};
  hls::stream<Residual> residuals{simulation, "current_residuals"};
  hls::stream<Fired> fired{simulation, "fired"};
  hls::stream<Logits> logits{simulation, "logits"};
};

// Sums of one quadruple in a pass: [step][tile of the pass][slot][lane], sent as the array sends them.
std::vector<int32_t> send_sums(const Instruction& d, int tiles, Streams& streams) {
  const int input_steps = d.input_steps, bits = d.input_bits;
  const bool nibbles = d.mode == hw::mode::kMuxAdd, wide_pass = d.mode == hw::mode::kMultiply4;
  std::vector<int32_t> sums(size_t(d.num_steps) * tiles * kSlots * kOutputLanes, 0);
  const auto at = [&](int step, int tile, int slot, int lane) -> int32_t& {
    return sums[((step * tiles + tile) * size_t(kSlots) + slot) * kOutputLanes + lane];
  };
  for (int chunk = 0; chunk < int(d.chunks); ++chunk) {
    bench::Parts token = {};
    for (int slot = 0; slot < kSlots; ++slot) {
      for (int part = 0; part < kParts; ++part)
        token.spikes.count[part][slot] = int(bench::uniform(0, kInputLanes * hw::kNarrowTaps));
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        token.wide.sum[slot][lane] = wide_pass || nibbles ? int32_t(bench::uniform(-2000000, 2000000)) : random_sum();
        for (NarrowSum& part : token.narrow) part.sum[slot][lane] = int(bench::uniform(-2000000, 2000000));
      }
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        for (int tile = 0; tile < tiles && !nibbles; ++tile) {
          const int pass_lane = wide_pass ? tile * kOutputLanes + lane : lane;
          at(chunk, tile, slot, lane) = int32_t(token.sum(d, 0, slot, pass_lane));
        }
        for (int plane = 0; plane < kParts && nibbles; ++plane) {
          const int step = chunk * (4 / bits) + plane / bits;
          if (step < input_steps) at(step, 0, slot, lane) += int32_t(token.sum(d, plane, slot, lane) << plane % bits);
        }
      }
    }
    streams.sums.write(d, token);
  }
  const size_t one_step = size_t(tiles) * kSlots * kOutputLanes;
  for (size_t i = input_steps * one_step; i < sums.size(); ++i) sums[i] = sums[i - one_step];  // replayed
  return sums;
}

void check_integrate(Instruction d, int tiles, int quadruples, int frames = 1) {
  d.output_tiles = tiles;
  d.quadruples = quadruples;
  bench::set_blocks(d);
  const Command c = bench::command_of(d, frames);
  const int steps = d.num_steps, s_max = d.s_max;
  std::vector<Neuron> neurons;
  Streams streams;
  for (int i = 0; i < tiles * kOutputLanes; ++i) {
    neurons.push_back(random_neuron());
    if (d.head)
      neurons.back().bias %= 1000, neurons.back().shift = 20;  // sums stay inside int32, as the compiler proves
    streams.parameters.host_write(neurons.back().word());
  }
  std::vector<int64_t> expected;
  bench::each_pass(c, [&](int, int length, int first_tile, int pass_tiles) {
    for (int q = 0; q < length; ++q) {
      const std::vector<int32_t> sums = send_sums(d, pass_tiles, streams);
      Residual residual[kPassTiles];
      int64_t v[2][kSlots][kOutputLanes], logit[2][kOutputLanes] = {};
      for (int t = 0; t < steps; ++t) {
        for (int h = 0; h < pass_tiles; ++h) {
          const int bits = d.skip_bits, bit = bits ? t * bits % 8 : 0;
          for (int slot = 0; slot < kSlots; ++slot) {
            for (int lane = 0; lane < kOutputLanes; ++lane) {
              const Neuron& n = neurons[(first_tile + h) * kOutputLanes + lane];
              uint8_t& byte = residual[h].byte[slot][lane];
              if (bit == 0) byte = uint8_t(bench::uniform(0, 255));
              const int64_t u = n.scale(sums[((t * pass_tiles + h) * size_t(kSlots) + slot) * kOutputLanes + lane]);
              const int64_t extra = d.skip_mode == hw::skip::kCurrent ? n.residual(byte >> bit & ((1 << bits) - 1)) : 0;
              const int64_t before = t == 0 ? n.initial : v[h][slot][lane];
              const int64_t leak = d.leak_enable ? before >> int(d.leak_shift) : 0;
              const int64_t charged = Neuron::clip(before - leak + u + extra);
              const int64_t whole = charged >> 16, s = whole < 0 ? 0 : whole > s_max ? s_max : whole;
              v[h][slot][lane] = d.reset_mode == hw::reset::kSubtract ? charged - s * 65536 : s ? 0 : charged;
              if (!d.head) expected.push_back(s);
              if (slot == 0) logit[h][lane] += u;
            }
          }
          if (d.skip_mode == hw::skip::kCurrent && bit == 0) streams.residuals.host_write(residual[h]);
        }
      }
      for (int h = 0; d.head && h < pass_tiles; ++h) {
        expected.insert(expected.end(), logit[h], logit[h] + kOutputLanes);
      }
    }
  });
  bench::run(streams.simulation, [&] {
    integrate(c, streams.parameters, streams.sums.wide, streams.sums.narrow, streams.sums.spikes, streams.residuals,
              streams.fired, streams.logits);
  });

  CHECK_EQUAL(streams.parameters.host_size() + streams.sums.host_size() + streams.residuals.host_size(), 0);
  size_t i = 0;
  for (Fired codes; streams.fired.host_read(codes);) {
    for (uint8_t code : codes.code) CHECK_EQUAL(code, expected[i++]);
  }
  for (Logits result; streams.logits.host_read(result);) {
    for (int32_t sum : result.sum) CHECK_EQUAL(sum, expected[i++]);
  }
  CHECK_EQUAL(i, expected.size());
}

Instruction neuron_instruction(int mode, int steps, int input_steps, int input_bits, int s_max) {
  Instruction d = bench::empty_instruction();
  d.num_steps = steps;
  d.input_steps = input_steps;
  d.input_bits = input_bits;
  d.s_max = s_max;
  bench::set_mode(d, mode);
  return d;
}

void check_neurons(int array_mode, int input_bits) {
  for (int mode = 0; mode < 16; ++mode) {
    Instruction d = neuron_instruction(array_mode, 1 + mode % 5, 1 + mode % 5, input_bits, mode % 2 ? 1 : 15);
    d.leak_enable = mode & 1;
    d.leak_shift = 1 + mode;
    d.reset_mode = mode >> 1 & 1;
    d.skip_mode = mode & 4 ? hw::skip::kCurrent : hw::skip::kNone;
    d.skip_bits = 1 << (mode & 3);
    check_integrate(d, 1 + mode % 3, 1 + 5 * (mode % 3), 1 + (mode & 1));
  }
}

}  // namespace

TEST(integrate_equals_the_neuron) { check_neurons(hw::mode::kMultiply8, 8); }

TEST(integrate_takes_two_output_tiles_a_pass) { check_neurons(hw::mode::kMultiply4, 4); }

TEST(integrate_takes_the_steps_of_a_nibble) {
  for (int bits : {1, 2}) check_neurons(hw::mode::kMuxAdd, bits);
}

TEST(integrate_replays_the_sums_of_a_static_image) {
  for (int mode : {hw::mode::kMultiply8, hw::mode::kMultiply4, hw::mode::kMuxAdd}) {
    Instruction d = neuron_instruction(mode, 7, 1, mode == hw::mode::kMuxAdd ? 2 : 4, 255);
    d.leak_enable = 1;
    d.leak_shift = 1;
    check_integrate(d, 2, 37);
    d.skip_mode = hw::skip::kCurrent;
    d.skip_bits = 2;
    check_integrate(d, 1, 3, 2);
  }
  check_integrate(neuron_instruction(hw::mode::kMuxAdd, 5, 1, 1, 3), 1, 3);  // one step of the nibble's four
}

TEST(the_head_sums_its_currents) {
  for (int mode : {hw::mode::kMultiply8, hw::mode::kMultiply4, hw::mode::kMuxAdd}) {
    Instruction d = neuron_instruction(mode, 6, 6, 2, 0);
    d.head = 1;
    check_integrate(d, 3, 1);
    check_integrate(d, 2, 1, 3);
    d = neuron_instruction(mode, 6, 1, 2, 0);
    d.head = 1;
    check_integrate(d, 1, 1);
  }
}
