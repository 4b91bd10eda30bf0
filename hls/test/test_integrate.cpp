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

void check_integrate(Instruction d, int tiles, int quadruples) {
  d.output_tiles = tiles;
  d.quadruples = quadruples;
  bench::set_blocks(d);
  const int steps = d.num_steps, s_max = d.s_max;
  std::vector<Neuron> neurons;
  sim::Simulation simulation;
  hls::stream<word_t> parameters(simulation, "parameters");
  hls::stream<PartialSum> sums(simulation, "partial_sums");
  hls::stream<Residual> residuals(simulation, "current_residuals");
  hls::stream<Fired> fired(simulation, "fired");
  hls::stream<Logits> logits(simulation, "logits");
  for (int c = 0; c < tiles * kOutputLanes; ++c) {
    neurons.push_back(random_neuron());
    if (d.head)
      neurons.back().bias %= 1000, neurons.back().shift = 20;  // sums stay inside int32, as the compiler proves
    parameters.host_write(neurons.back().word());
  }
  std::vector<int64_t> expected;
  for (int first = 0; first < quadruples; first += int(d.block_quadruples)) {
    const int left = quadruples - first, length = left < int(d.block_quadruples) ? left : int(d.block_quadruples);
    for (int tile = 0; tile < tiles; ++tile) {
      for (int q = 0; q < length; ++q) {
        int64_t v[kSlots][kOutputLanes], logit[kOutputLanes] = {};
        PartialSum token;
        for (int t = 0; t < steps; ++t) {
          Residual residual;
          for (int slot = 0; slot < kSlots; ++slot) {
            for (int lane = 0; lane < kOutputLanes; ++lane) {
              const Neuron& n = neurons[tile * kOutputLanes + lane];
              if (t < int(d.input_steps)) {
                token.sum[slot][lane] =
                    int32_t(bench::uniform(0, 9) ? bench::uniform(-300, 300) : bench::uniform(INT32_MIN, INT32_MAX));
              }
              residual.code[slot][lane] = uint8_t(bench::uniform(0, 255));
              const int64_t u = n.scale(token.sum[slot][lane]);
              const int64_t extra = d.skip_mode == hw::skip::kCurrent ? n.residual(residual.code[slot][lane]) : 0;
              const int64_t before = t == 0 ? n.initial : v[slot][lane];
              const int64_t leak = d.leak_enable ? before >> int(d.leak_shift) : 0;
              const int64_t charged = Neuron::clip(before - leak + u + extra);
              const int64_t whole = charged >> 16, s = whole < 0 ? 0 : whole > s_max ? s_max : whole;
              v[slot][lane] = d.reset_mode == hw::reset::kSubtract ? charged - s * 65536 : s ? 0 : charged;
              if (!d.head) expected.push_back(s);
              if (slot == 0) logit[lane] += u;
            }
          }
          if (t < int(d.input_steps)) sums.host_write(token);
          if (d.skip_mode == hw::skip::kCurrent) residuals.host_write(residual);
        }
        if (d.head) expected.insert(expected.end(), logit, logit + kOutputLanes);
      }
    }
  }
  bench::run(simulation, [&] { integrate(d, parameters, sums, residuals, fired, logits); });

  CHECK_EQUAL(parameters.host_size() + sums.host_size() + residuals.host_size(), 0);
  size_t i = 0;
  Fired codes;
  while (fired.host_read(codes)) {
    for (uint8_t code : codes.code) CHECK_EQUAL(code, expected[i++]);
  }
  Logits result;
  while (logits.host_read(result)) {
    for (int32_t sum : result.sum) CHECK_EQUAL(sum, expected[i++]);
  }
  CHECK_EQUAL(i, expected.size());
}

Instruction neuron_instruction(int steps, int input_steps, int s_max) {
  Instruction d = bench::empty_instruction();
  d.num_steps = steps;
  d.input_steps = input_steps;
  d.s_max = s_max;
  return d;
}

}  // namespace

TEST(integrate_equals_the_neuron_in_every_mode) {
  for (int mode = 0; mode < 16; ++mode) {
    Instruction d = neuron_instruction(1 + mode % 5, 1 + mode % 5, mode % 2 ? 1 : 15);
    d.leak_enable = mode & 1;
    d.leak_shift = 1 + mode;
    d.reset_mode = mode >> 1 & 1;
    d.skip_mode = mode & 4 ? hw::skip::kCurrent : hw::skip::kNone;
    check_integrate(d, 1 + mode % 2, 1 + 5 * (mode % 3));
  }
}

TEST(integrate_replays_the_sums_of_a_static_image) {
  Instruction d = neuron_instruction(7, 1, 255);
  d.leak_enable = 1;
  d.leak_shift = 1;
  check_integrate(d, 2, 37);
  d.skip_mode = hw::skip::kCurrent;
  check_integrate(d, 1, 3);
}

TEST(the_head_sums_its_currents) {
  Instruction d = neuron_instruction(6, 6, 0);
  d.head = 1;
  check_integrate(d, 2, 1);
  d.input_steps = 1;
  check_integrate(d, 1, 1);
}
