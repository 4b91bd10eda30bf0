#include "bench.hpp"

#include "stages.hpp"

// Sums of random operands and tiles against the plain triple loop; blocks of every kind: full, partial, shorter than a
// tap.
static void check_accumulate(int input_tiles, int kernel, int output_tiles, int quadruples, int steps, bool extreme) {
  Instruction d = bench::empty_instruction();
  d.input_tiles = input_tiles;
  d.kernel_height = d.kernel_width = kernel;
  d.output_tiles = output_tiles;
  d.quadruples = quadruples;
  d.input_steps = steps;
  bench::set_blocks(d);

  sim::Simulation simulation;
  hls::stream<Operand> operands(simulation, "operands");
  hls::stream<WeightBeat> weights(simulation, "weights");
  hls::stream<PartialSum> partial_sums(simulation, "partial_sums");
  std::vector<int64_t> expected;
  const int taps = taps_of(d);
  for (int block = 0; block < int(d.blocks); ++block) {
    const int first = block * int(d.block_quadruples);
    const int left = quadruples - first;
    const int groups = (left < int(d.block_quadruples) ? left : int(d.block_quadruples)) * steps;
    for (int tile = 0; tile < output_tiles; ++tile) {
      std::vector<int64_t> sums(groups * kSlots * kOutputLanes, 0);
      for (int tap = 0; tap < taps; ++tap) {
        int w[kOutputLanes][kInputLanes];
        for (int beat = 0; beat < kTileBeats; ++beat) {
          WeightBeat rows;
          for (int row = 0; row < kBeatRows; ++row) {
            for (int lane = 0; lane < kInputLanes; ++lane) {
              const int value = extreme ? (bench::uniform(0, 1) ? 127 : -127) : int(bench::uniform(-127, 127));
              rows.weight[row][lane] = int8_t(w[beat * kBeatRows + row][lane] = value);
            }
          }
          weights.host_write(rows);
        }
        for (int group = 0; group < groups; ++group) {
          Operand operand;
          for (int slot = 0; slot < kSlots; ++slot) {
            for (int lane = 0; lane < kInputLanes; ++lane) {
              operand.code[slot][lane] = extreme ? 255 : uint8_t(bench::uniform(0, 255));
              for (int row = 0; row < kOutputLanes; ++row) {
                sums[(group * kSlots + slot) * kOutputLanes + row] += w[row][lane] * operand.code[slot][lane];
              }
            }
          }
          operands.host_write(operand);
        }
      }
      expected.insert(expected.end(), sums.begin(), sums.end());
    }
  }
  bench::run(simulation, [&] { accumulate(d, operands, weights, partial_sums); });

  CHECK_EQUAL(operands.host_size(), 0);
  CHECK_EQUAL(weights.host_size(), 0);
  CHECK_EQUAL(partial_sums.host_size() * kSlots * kOutputLanes, expected.size());
  PartialSum found;
  for (size_t i = 0; partial_sums.host_read(found);) {
    for (int slot = 0; slot < kSlots; ++slot) {
      for (int lane = 0; lane < kOutputLanes; ++lane) CHECK_EQUAL(found.sum[slot][lane], expected[i++]);
    }
  }
}

TEST(accumulate_sums_every_tap_of_every_block) {
  check_accumulate(1, 1, 1, 1, 1, false);
  check_accumulate(2, 3, 2, 33, 1, false);
  check_accumulate(3, 1, 1, 9, 8, false);
  check_accumulate(1, 3, 2, 7, 5, true);
}
