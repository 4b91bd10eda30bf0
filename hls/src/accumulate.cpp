#include "stages.hpp"

#include "counters.hpp"
#include "qsnn_mac_row.hpp"

namespace {

// Rows of the array, each of kMacRows output lanes: one beat of a weight tile.
constexpr int kArrayRows = kOutputLanes / kMacRows;
static_assert(kBeatRows == kMacRows && kArrayRows == kTileBeats, "a beat holds the weights of a row");

#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__)

// The row is a black box of Verilog behind plain words. The mode travels with the operands.
struct RowOperands {
  mac_mode_t mode;
  mac_operands_t codes;
};
typedef mac_weights_t RowWeights;

inline void prepare(int mode, const Operand& operand, RowOperands& prepared) {
  HLS(INLINE)
  prepared.mode = mode;
  operands_to_word(operand.code, prepared.codes);
}

inline void prepare(int, const WeightBeat& beat, RowWeights& prepared) {
  HLS(INLINE)
  weights_to_word(beat.weight, prepared);
}

inline void multiply_row(int, const RowOperands& operands, const RowWeights& weights,
                         int32_t sum[kParts][kSlots][kMacRows]) {
  HLS(INLINE)
  mac_row_box(operands.mode.to_int(), operands.codes, weights, sum);
}

// A register: a function of one cycle that is not merged with its neighbours. II = 1: it takes a value every cycle.
template <typename T>
T delayed(T value) {
  HLS(INLINE off)
  HLS(PIPELINE II = 1)
  HLS(LATENCY min = 1 max = 1)
  return value;
}

inline void forward(RowOperands& operands) {
  HLS(INLINE)
  operands.mode = delayed(operands.mode);
  operands.codes = delayed(operands.codes);
}

#else

// The leaf model takes operands and weights prepared: once for all rows, once for all cycles of a tap.
typedef MacOperands RowOperands;
typedef MacWeights RowWeights;

inline void prepare(int mode, const Operand& operand, RowOperands& prepared) {
  prepare_operands(mode, operand.code, prepared);
}

inline void prepare(int mode, const WeightBeat& beat, RowWeights& prepared) {
  pack_weights(mode, beat.weight, prepared);
}

inline void multiply_row(int mode, const RowOperands& operands, const RowWeights& weights,
                         int32_t sum[kParts][kSlots][kMacRows]) {
  mac_row(mode, operands, weights, sum);
}

inline void forward(RowOperands&) {}

#endif

// Rows as lanes of each part: wires.
inline void arrange(const int32_t row_sum[kArrayRows][kParts][kSlots][kMacRows],
                    int32_t sum[kParts][kSlots][kOutputLanes]) {
  HLS(INLINE)
  for (int part = 0; part < kParts; ++part) {
    UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      UNROLL
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        UNROLL
        sum[part][slot][lane] = row_sum[lane / kMacRows][part][slot][lane % kMacRows];
      }
    }
  }
}

}  // namespace

// The loop it means:
//
//   for block, pass, kernel position x input tile, group of the block:
//     for part, slot, output lane:   sum[group][part][slot][lane] += dot(operand[slot], weight[lane])
//
// The multiplier array: 8 rows of 128 DSP48E2, each 4 output lanes (8 in MULTIPLY4) x 16 input lanes x 4 slots. A tap
// lasts at least kMinimumGroups cycles, in which the next tap's weight tile arrives beat by beat, row by row, in the
// shadow registers. Operands and mode go from row to row through registers: a broadcast to 1,024 DSPs would not meet
// timing. What the first rows found waits for the last one, while it is still narrow. Parts that the mode does not name
// have no token. Bit planes stay apart and biased (types.hpp): what makes codes of them comes once, behind the sums.
//
// II = 1: a sum is updated once a tap, so the distance of its recurrence is the length of a tap, at least
// kMinimumGroups = 8 iterations, while its read, one sum and its write take three; the rows lie before it,
// feed-forward. Each sum memory (one for each part, slot and lane, block_groups deep) has one read and one write a
// cycle. Operands and weights are one stream read each.
void accumulate(const Command c, hls::stream<Operand>& operands, hls::stream<WeightBeat>& weights,
                hls::stream<PartialSum>& partial_sums, hls::stream<NarrowSum> narrow_sums[kNarrowParts],
                hls::stream<SpikeCount>& spike_counts) {
  const Instruction d = c.instruction;
  int32_t sum[hw::kBlockGroups][kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = sum complete dim = 2)
  HLS(ARRAY_PARTITION variable = sum complete dim = 3)
  HLS(BIND_STORAGE variable = sum type = ram_2p impl = lutram)
  narrow_sum_t narrow[hw::kBlockGroups][kNarrowParts][kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = narrow complete dim = 2)
  HLS(ARRAY_PARTITION variable = narrow complete dim = 3)
  HLS(ARRAY_PARTITION variable = narrow complete dim = 4)
  HLS(BIND_STORAGE variable = narrow type = ram_2p impl = lutram)
  spikes_t spikes[hw::kBlockGroups][kParts][kSlots];
  HLS(ARRAY_PARTITION variable = spikes complete dim = 2)
  HLS(ARRAY_PARTITION variable = spikes complete dim = 3)
  HLS(BIND_STORAGE variable = spikes type = ram_2p impl = lutram)
  RowWeights weight[kArrayRows], shadow[kArrayRows];
  HLS(ARRAY_PARTITION variable = weight complete)
  HLS(ARRAY_PARTITION variable = shadow complete)

  const int mode = d.mode;
  const bool planes = mode == hw::mode::kMuxAdd;
  const int narrow_parts = parts_of(d) - 1;
  const int taps = taps_of(d), passes = passes_of(d), blocks = c.blocks;
  const int full = int(d.block_quadruples) * int(d.chunks);
  const int rest = (quadruples_of(c) - (blocks - 1) * int(d.block_quadruples)) * int(d.chunks);
  const int full_cycles = full < kMinimumGroups ? kMinimumGroups : full;
  const int rest_cycles = rest < kMinimumGroups ? kMinimumGroups : rest;

load_first_tile:
  for (int row = 0; row < kArrayRows; ++row) {
    PIPELINE(1);
    prepare(mode, weights.read(), weight[row]);
  }

  int group = 0, tap = 0, pass = 0, block = 0;
  bool running = true;
multiply_accumulate:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 8 max = 1000000 avg = 40000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = sum type = inter direction = RAW distance = kMinimumGroups dependent = true)
    HLS(DEPENDENCE variable = narrow type = inter direction = RAW distance = kMinimumGroups dependent = true)
    HLS(DEPENDENCE variable = spikes type = inter direction = RAW distance = kMinimumGroups dependent = true)
    const bool last_block = block == blocks - 1;
    const int groups = last_block ? rest : full;
    const int cycles = last_block ? rest_cycles : full_cycles;
    const bool last_tap = tap == taps - 1;
    const bool last_tile = last_tap && last_block && pass == passes - 1;

    if (group < kArrayRows && !last_tile) {
      RowWeights arrived;
      prepare(mode, weights.read(), arrived);
      shadow[group] = arrived;
    }

    if (group < groups) {
      const Operand operand = operands.read();
      RowOperands row_operands;
      prepare(mode, operand, row_operands);
      int32_t found[kArrayRows][kParts][kSlots][kMacRows], group_sum[kParts][kSlots][kOutputLanes];
      HLS(ARRAY_PARTITION variable = found complete dim = 0)
      HLS(ARRAY_PARTITION variable = group_sum complete dim = 0)
      for (int row = 0; row < kArrayRows; ++row) {
        UNROLL
        multiply_row(mode, row_operands, weight[row], found[row]);
        if (row + 1 < kArrayRows) forward(row_operands);
      }
      arrange(found, group_sum);

      PartialSum result;
      HLS(ARRAY_PARTITION variable = result.sum complete dim = 0)
      for (int slot = 0; slot < kSlots; ++slot) {
        UNROLL
        for (int lane = 0; lane < kOutputLanes; ++lane) {
          UNROLL
          result.sum[slot][lane] = (tap == 0 ? 0 : sum[group][slot][lane]) + group_sum[0][slot][lane];
          sum[group][slot][lane] = result.sum[slot][lane];
        }
      }
      if (last_tap) partial_sums.write(result);

      for (int part = 0; part < kNarrowParts; ++part) {
        UNROLL
        if (part >= narrow_parts) continue;
        NarrowSum narrow_result;
        HLS(ARRAY_PARTITION variable = narrow_result.sum complete dim = 0)
        for (int slot = 0; slot < kSlots; ++slot) {
          UNROLL
          for (int lane = 0; lane < kOutputLanes; ++lane) {
            UNROLL
            const narrow_sum_t before = tap == 0 ? narrow_sum_t(0) : narrow[group][part][slot][lane];
            narrow_result.sum[slot][lane] = before + narrow_sum_t(group_sum[part + 1][slot][lane]);
            narrow[group][part][slot][lane] = narrow_result.sum[slot][lane];
          }
        }
        if (last_tap) narrow_sums[part].write(narrow_result);
      }

      if (planes) {
        int32_t counted[kParts][kSlots];
        HLS(ARRAY_PARTITION variable = counted complete dim = 0)
        count_spikes(operand.code, counted);
        SpikeCount total;
        HLS(ARRAY_PARTITION variable = total.count complete dim = 0)
        for (int part = 0; part < kParts; ++part) {
          UNROLL
          for (int slot = 0; slot < kSlots; ++slot) {
            UNROLL
            total.count[part][slot] =
                (tap == 0 ? spikes_t(0) : spikes[group][part][slot]) + spikes_t(counted[part][slot]);
            spikes[group][part][slot] = total.count[part][slot];
          }
        }
        if (last_tap) spike_counts.write(total);
      }
    }

    bool carry = true;
    count(group, cycles, carry);
    if (carry) {
      for (int row = 0; row < kArrayRows; ++row) {
        UNROLL
        weight[row] = shadow[row];
      }
    }
    count(tap, taps, carry);
    count(pass, passes, carry);
    count(block, blocks, carry);
    running = !carry;
  }
}
