#include "bench.hpp"

#include "stages.hpp"

namespace {

struct SumCase {
  int mode, bits;  // of a code
  int input_tiles, kernel_height, kernel_width, output_tiles;
  int quadruples, frames, steps;
};

int signed_weight(int mode, bool extreme) {
  const int low = mode == hw::mode::kMultiply4 ? -8 : -127, high = mode == hw::mode::kMultiply4 ? 7 : 127;
  return extreme ? (bench::uniform(0, 1) ? high : low) : int(bench::uniform(low, high));
}

// Weights of one tile, and the beats that carry them.
struct Tile {
  int weight[2 * kOutputLanes][kInputLanes];

  Tile(int mode, bool extreme, hls::stream<WeightBeat>& beats) {
    const int lanes_a_byte = mode == hw::mode::kMultiply4 ? 2 : 1;
    for (int beat = 0; beat < kTileBeats; ++beat) {
      WeightBeat rows;
      for (int row = 0; row < kBeatRows; ++row) {
        for (int lane = 0; lane < kInputLanes; ++lane) {
          unsigned byte = 0;
          for (int i = 0; i < lanes_a_byte; ++i) {
            const int w = signed_weight(mode, extreme);
            weight[(beat * kBeatRows + row) * lanes_a_byte + i][lane] = w;
            byte |= lanes_a_byte == 2 ? unsigned(w & 15) << (4 * i) : unsigned(w & 255);
          }
          rows.weight[row][lane] = uint8_t(byte);
        }
      }
      beats.host_write(rows);
    }
  }
};

// Sums of random operands and tiles against the plain loops over codes; blocks of every kind: full, partial, shorter
// than a tap.
void check_accumulate(const SumCase& shape, bool extreme) {
  Instruction d = bench::empty_instruction();
  d.input_tiles = shape.input_tiles;
  d.kernel_height = shape.kernel_height;
  d.kernel_width = shape.kernel_width;
  d.output_tiles = shape.output_tiles;
  d.quadruples = shape.quadruples;
  d.input_steps = shape.steps;
  d.input_bits = shape.bits;
  bench::set_mode(d, shape.mode);
  bench::set_blocks(d);
  const Command c = bench::command_of(d, shape.frames);
  const bool nibbles = shape.mode == hw::mode::kMuxAdd, wide = shape.mode == hw::mode::kMultiply4;
  const int parts = nibbles ? kParts : 1;  // bit planes of an operand byte
  const int largest = nibbles || wide ? 15 : 255, lanes = wide ? 2 * kOutputLanes : kOutputLanes;
  const int taps = shape.input_tiles * shape.kernel_height * shape.kernel_width;

  sim::Simulation simulation;
  hls::stream<Operand> operands(simulation, "operands");
  hls::stream<WeightBeat> weights(simulation, "weights");
  bench::PartialSums partial_sums(simulation);
  std::vector<int64_t> expected;  // [group][part][slot][lane]
  bench::each_pass(c, [&](int, int length, int, int) {
    const int groups = length * int(d.chunks);
    std::vector<int64_t> sums(size_t(groups) * parts * kSlots * lanes, 0);
    for (int tap = 0; tap < taps; ++tap) {
      const Tile tile(shape.mode, extreme, weights);
      for (int group = 0; group < groups; ++group) {
        Operand operand;
        for (int slot = 0; slot < kSlots; ++slot) {
          for (int input = 0; input < kInputLanes; ++input) {
            const int byte = extreme ? largest : int(bench::uniform(0, largest));
            operand.code[slot][input] = uint8_t(byte);
            for (int k = 0; k < parts; ++k) {
              const int code = nibbles ? byte >> k & 1 : byte;
              for (int lane = 0; lane < lanes; ++lane) {
                sums[((group * parts + k) * size_t(kSlots) + slot) * lanes + lane] += tile.weight[lane][input] * code;
              }
            }
          }
        }
        operands.host_write(operand);
      }
    }
    expected.insert(expected.end(), sums.begin(), sums.end());
  });
  bench::run(simulation,
             [&] { accumulate(c, operands, weights, partial_sums.wide, partial_sums.narrow, partial_sums.spikes); });

  CHECK_EQUAL(operands.host_size() + weights.host_size(), 0);
  size_t i = 0;
  for (bench::Parts found; partial_sums.read(d, found);) {
    for (int k = 0; k < parts; ++k) {
      for (int slot = 0; slot < kSlots; ++slot) {
        for (int lane = 0; lane < lanes; ++lane) {
          CHECK_EQUAL(found.sum(d, k, slot, lane), expected[i++]);
        }
      }
    }
  }
  CHECK_EQUAL(i, expected.size());
}

// Blocks and taps of every kind, in one mode.
void check_mode(int mode, int bits) {
  check_accumulate({mode, bits, 1, 1, 1, 1, 1, 1, 1}, false);
  check_accumulate({mode, bits, 2, 3, 1, 2, 33, 1, 1}, false);
  check_accumulate({mode, bits, 3, 1, 1, 3, 9, 1, 8}, false);
  check_accumulate({mode, bits, 1, 2, 2, 1, 7, 3, 5}, true);
}

}  // namespace

TEST(accumulate_multiplies_codes_of_8_bits) { check_mode(hw::mode::kMultiply8, 8); }

TEST(accumulate_multiplies_4_bits_for_64_lanes) { check_mode(hw::mode::kMultiply4, 4); }

TEST(accumulate_adds_the_planes_of_a_nibble) {
  for (int bits : {1, 2}) check_mode(hw::mode::kMuxAdd, bits);
}
