#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

namespace {

// 16 input lanes of one output lane for one pair of slots: four cascades of four DSPs.
inline void dot_product(const packed_t x[kInputLanes], const int8_t w[kInputLanes][kOutputLanes], int output_lane,
                        int32_t& low_sum, int32_t& high_sum) {
  HLS(INLINE)
  low_sum = 0;
  high_sum = 0;
  for (int first = 0; first < kInputLanes; first += hw::kCascadeLength) {
    UNROLL
    cascade_t cascade = 0;
    for (int lane = first; lane < first + hw::kCascadeLength; ++lane) {
      UNROLL
      cascade += multiply(x[lane], w[lane][output_lane]);
    }
    field_t low, high;
    split(cascade, low, high);
    low_sum += int(low);
    high_sum += int(high);
  }
}

// One beat of a tile into its registers, [input lane][output lane].
inline void place_rows(const WeightBeat& beat, int index, int8_t tile[kInputLanes][kOutputLanes]) {
  HLS(INLINE)
  for (int row = 0; row < kBeatRows; ++row) {
    UNROLL
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      tile[lane][index * kBeatRows + row] = beat.weight[row][lane];
    }
  }
}

}  // namespace

// The loop it means:
//
//   for block, output tile, kernel position x input tile, group of the block:
//     for slot, output lane:   sum[group][slot][lane] += dot(operand[slot], weight[lane])
//
// The multiplier array: 32 output lanes x 16 input lanes x 2 slot pairs = 1,024 DSP48E2. A tap lasts at least
// kMinimumGroups cycles, in which the next tap's weight tile arrives beat by beat in the shadow registers.
//
// II = 1: a sum is updated once a tap, so the distance of its recurrence is the length of a tap, at least
// kMinimumGroups = 8 iterations, more than the depth of the adder tree behind the cascades. Each sum memory (one for
// each slot and lane, block_groups deep) has one read and one write a cycle. Operands and weights are one stream read
// each.
void accumulate(const Instruction d, hls::stream<Operand>& operands, hls::stream<WeightBeat>& weights,
                hls::stream<PartialSum>& partial_sums) {
  int32_t sum[hw::kBlockGroups][kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = sum complete dim = 2)
  HLS(ARRAY_PARTITION variable = sum complete dim = 3)
  HLS(BIND_STORAGE variable = sum type = ram_2p impl = lutram)
  int8_t weight[kInputLanes][kOutputLanes], shadow[kInputLanes][kOutputLanes];
  HLS(ARRAY_PARTITION variable = weight complete dim = 0)
  HLS(ARRAY_PARTITION variable = shadow complete dim = 0)

  const int taps = taps_of(d);
  const int full = int(d.block_quadruples) * int(d.input_steps);
  const int rest = (int(d.quadruples) - (int(d.blocks) - 1) * int(d.block_quadruples)) * int(d.input_steps);
  const int full_cycles = full < kMinimumGroups ? kMinimumGroups : full;
  const int rest_cycles = rest < kMinimumGroups ? kMinimumGroups : rest;

load_first_tile:
  for (int beat = 0; beat < kTileBeats; ++beat) {
    PIPELINE(1);
    place_rows(weights.read(), beat, weight);
  }

  int group = 0, tap = 0, output_tile = 0, block = 0;
  bool running = true;
multiply_accumulate:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 8 max = 1000000 avg = 40000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = sum type = inter direction = RAW distance = kMinimumGroups dependent = true)
    const bool last_block = block == int(d.blocks) - 1;
    const int groups = last_block ? rest : full;
    const int cycles = last_block ? rest_cycles : full_cycles;
    const bool last_tap = tap == taps - 1;
    const bool last_tile = last_tap && last_block && output_tile == int(d.output_tiles) - 1;

    if (group < kTileBeats && !last_tile) place_rows(weights.read(), group, shadow);

    if (group < groups) {
      const Operand operand = operands.read();
      PartialSum result;
      HLS(ARRAY_PARTITION variable = result.sum complete dim = 0)
      for (int slot = 0; slot < kSlots; slot += 2) {
        UNROLL
        packed_t packed[kInputLanes];
        HLS(ARRAY_PARTITION variable = packed complete)
        for (int lane = 0; lane < kInputLanes; ++lane) {
          UNROLL
          packed[lane] = pack(operand.code[slot][lane], operand.code[slot + 1][lane]);
        }
        for (int lane = 0; lane < kOutputLanes; ++lane) {
          UNROLL
          int32_t low, high;
          dot_product(packed, weight, lane, low, high);
          result.sum[slot][lane] = (tap == 0 ? 0 : sum[group][slot][lane]) + low;
          result.sum[slot + 1][lane] = (tap == 0 ? 0 : sum[group][slot + 1][lane]) + high;
          sum[group][slot][lane] = result.sum[slot][lane];
          sum[group][slot + 1][lane] = result.sum[slot + 1][lane];
        }
      }
      if (last_tap) partial_sums.write(result);
    }

    bool carry = true;
    count(group, cycles, carry);
    if (carry) {
      for (int lane = 0; lane < kInputLanes; ++lane) {
        UNROLL
        for (int row = 0; row < kOutputLanes; ++row) {
          UNROLL
          weight[lane][row] = shadow[lane][row];
        }
      }
    }
    count(tap, taps, carry);
    count(output_tile, d.output_tiles, carry);
    count(block, d.blocks, carry);
    running = !carry;
  }
}
