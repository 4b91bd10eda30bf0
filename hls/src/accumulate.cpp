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

// Sums of the rows as sums of output lanes: in MULTIPLY4 a row has twice as many, part by part; in MUX_ADD its parts
// are bit planes, of which codes are made.
inline void arrange(int mode, int bits, const int32_t row_sum[kArrayRows][kParts][kSlots][kMacRows],
                    int32_t sum[kParts][kSlots][kOutputLanes]) {
  HLS(INLINE)
  for (int slot = 0; slot < kSlots; ++slot) {
    UNROLL
    int32_t found[kParts][kOutputLanes];
    HLS(ARRAY_PARTITION variable = found complete dim = 0)
    for (int part = 0; part < kParts; ++part) {
      UNROLL
      for (int row = 0; row < kArrayRows; ++row) {
        UNROLL
        for (int i = 0; i < kMacRows; ++i) {
          UNROLL
          found[part][row * kMacRows + i] = row_sum[row][part][slot][i];
        }
      }
    }
    if (mode == hw::mode::kMultiply4) {
      int32_t wide[2 * kOutputLanes];
      HLS(ARRAY_PARTITION variable = wide complete)
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        UNROLL
        wide[2 * lane] = found[0][lane];
        wide[2 * lane + 1] = found[1][lane];
      }
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        UNROLL
        sum[0][slot][lane] = wide[lane];
        sum[1][slot][lane] = wide[kOutputLanes + lane];
      }
    } else {
      for (int lane = 0; lane < kOutputLanes; ++lane) {
        UNROLL
        const int32_t plane[kParts] = {found[0][lane], found[1][lane], found[2][lane], found[3][lane]};
        int32_t part[kParts];
        combine_planes(bits, plane, part);
        for (int p = 0; p < kParts; ++p) {
          UNROLL
          sum[p][slot][lane] = part[p];
        }
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
// timing. What the first rows found waits for the last one, while it is still narrow (21 bits). Parts that
// the mode does not name have no token.
//
// II = 1: a sum is updated once a tap, so the distance of its recurrence is the length of a tap, at least
// kMinimumGroups = 8 iterations, while its read, one 32-bit sum and its write take three; the rows and what is made of
// their sums lie before it, feed-forward. Each sum memory (one for each part, slot and lane, block_groups deep) has one
// read and one write a cycle. Operands and weights are one stream read each.
void accumulate(const Command c, hls::stream<Operand>& operands, hls::stream<WeightBeat>& weights,
                hls::stream<PartialSum> partial_sums[kParts]) {
  const Instruction d = c.instruction;
  int32_t sum[hw::kBlockGroups][kParts][kSlots][kOutputLanes];
  HLS(ARRAY_PARTITION variable = sum complete dim = 2)
  HLS(ARRAY_PARTITION variable = sum complete dim = 3)
  HLS(ARRAY_PARTITION variable = sum complete dim = 4)
  HLS(BIND_STORAGE variable = sum type = ram_2p impl = lutram)
  RowWeights weight[kArrayRows], shadow[kArrayRows];
  HLS(ARRAY_PARTITION variable = weight complete)
  HLS(ARRAY_PARTITION variable = shadow complete)

  const int mode = d.mode;
  const int plane_bits = mode == hw::mode::kMuxAdd ? int(d.input_bits) : 1;  // 1: parts stay what they are
  const int parts = parts_of(d);
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
      RowOperands row_operands;
      prepare(mode, operands.read(), row_operands);
      int32_t found[kArrayRows][kParts][kSlots][kMacRows], group_sum[kParts][kSlots][kOutputLanes];
      HLS(ARRAY_PARTITION variable = found complete dim = 0)
      HLS(ARRAY_PARTITION variable = group_sum complete dim = 0)
      for (int row = 0; row < kArrayRows; ++row) {
        UNROLL
        multiply_row(mode, row_operands, weight[row], found[row]);
        if (row + 1 < kArrayRows) forward(row_operands);
      }
      arrange(mode, plane_bits, found, group_sum);
      for (int part = 0; part < kParts; ++part) {
        UNROLL
        if (part >= parts) continue;
        PartialSum result;
        HLS(ARRAY_PARTITION variable = result.sum complete dim = 0)
        for (int slot = 0; slot < kSlots; ++slot) {
          UNROLL
          for (int lane = 0; lane < kOutputLanes; ++lane) {
            UNROLL
            const int32_t before = tap == 0 ? 0 : sum[group][part][slot][lane];
            result.sum[slot][lane] = before + group_sum[part][slot][lane];
            sum[group][part][slot][lane] = result.sum[slot][lane];
          }
        }
        if (last_tap) partial_sums[part].write(result);
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
