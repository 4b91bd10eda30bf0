// Words of the memories, tokens of the streams between stages, and the depths of those streams.
#pragma once

#include <stdint.h>

#include "ap_axi_sdata.h"
#include "ap_int.h"
#include "hls_stream.h"

#include "fabric_int.hpp"
#include "hw_spec.hpp"

typedef ap_uint<hw::kWordBits> word_t;
typedef ap_axiu<hw::kWordBits, 0, 0, 0> axis_word;

constexpr int kSlots = hw::kSlots;
// Pragmas take these names unqualified.
constexpr int kMinimumGroups = hw::kMinimumGroups;
constexpr int kBanks = hw::kActivationBanks;
constexpr int kBankWords = hw::kActivationBankWords;
constexpr int kInputLanes = hw::kInputLanes;
constexpr int kOutputLanes = hw::kOutputLanes;
// Channel tiles (one bank word wide) of an output tile.
constexpr int kHalves = kOutputLanes / kInputLanes;
// Output lanes whose weights one beat of the wide weight path carries.
constexpr int kBeatRows = hw::kWeightBeatBits / (8 * kInputLanes);
constexpr int kTileBeats = hw::kWeightTileBeats;
constexpr int kMaximumOutputTiles = hw::kMaximumChannels / kOutputLanes;

static_assert(kBanks == kSlots, "one bank feeds one slot");
static_assert((kBanks & (kBanks - 1)) == 0, "a column's bank is its low bits");
static_assert(kHalves == 1 || kHalves == 2, "store writes the second half of a slot while the next slot arrives");
static_assert(kBeatRows * kTileBeats == kOutputLanes, "the beats of a tile cover its output lanes once");
static_assert(kTileBeats <= kMinimumGroups, "the next weight tile arrives while this one is used");

typedef word_t ActivationMemory[kBanks][kBankWords];

// One group of one kernel position and input tile: codes of kSlots neighbouring pixels.
struct Operand {
  uint8_t code[kSlots][kInputLanes];
};

// A train word of the residual for a quadruple and output tile: the codes of one or more steps, as they lie in memory.
struct Residual {
  uint8_t byte[kSlots][kOutputLanes];
};

// Four rows of a weight tile: one int8 a byte, in MULTIPLY4 two int4 (low nibble: output lane 2 * row, high nibble the
// next).
struct WeightBeat {
  uint8_t weight[kBeatRows][kInputLanes];
};

// Dual-port URAM outside the kernel, seen as a write port (unpack_weights) and a read port (hold_weights). Two streams
// of tile tokens keep them apart: `occupancy` takes a token before a tile is written and gives it back after the
// tile's last use, so that its depth is the ring's size; `arrivals` has one token for each tile that is there.
typedef WeightBeat WeightRing[hw::kWeightRingBeats];
typedef bool TileToken;

// Output tiles of 32 in a pass of the array, at most.
constexpr int kPassTiles = 2;

// Complete sums of one group, part by part as the array makes them. MULTIPLY8 has part 0 alone, output lane by output
// lane. MULTIPLY4 has parts 0 and 1: lane `row` of part p is output lane 2 * row + p of the pass's 64. MUX_ADD has
// four: part p is bit plane p of the nibble, a sum of (weight + 128) over the spikes, and `spikes` counts those, so
// that 128 times the count can be taken off once, behind the accumulators.
constexpr int kParts = 4;
constexpr int kNarrowParts = kParts - 1;
// What parts 1 to 3 hold of a layer of kNarrowTaps taps at most: 16 x 255 x 512 < 2^21; 16 x 120 x 512 is less.
constexpr int kNarrowBits = 22;
typedef fabric_int<kNarrowBits> narrow_sum_t;
typedef fabric_int<15> spikes_t;  // 16 x 512 at most

static_assert(kInputLanes * 255 * hw::kNarrowTaps < 1 << (kNarrowBits - 1), "a biased plane fits a narrow sum");

struct PartialSum {
  int32_t sum[kSlots][kOutputLanes];
};

struct NarrowSum {
  narrow_sum_t sum[kSlots][kOutputLanes];
};

struct SpikeCount {
  spikes_t count[kParts][kSlots];
};

static_assert(32 * kSlots * kOutputLanes <= 4096, "Vitis HLS allows 4,096 bits in a token of a stream");

// Codes that one slot fired in one step.
struct Fired {
  uint8_t code[kOutputLanes];
};

// Currents of the head, summed over the steps.
struct Logits {
  int32_t sum[kOutputLanes];
};

struct LogEntry {
  uint64_t start;
  uint64_t end;
  bool last;  // no entry: the call is over
};

// Stream depths, for Vitis HLS and g++ alike. The stages form a graph without cycles, yet `feed` serves two ways to the
// same place: operands through `accumulate`, residuals directly. It sends a block's residuals after its operands, so
// all partial sums of a block must find room before their first residual comes: kPartialSumDepth may not be smaller
// than a block. Every other depth may be 1 without deadlock and costs throughput only, kTileTokens apart, which is the
// ring's size.
constexpr int kCommandDepth = 4;
constexpr int kOperandDepth = 32;      // one k step: feed does not stall while accumulate waits for a weight tile
constexpr int kWeightWordDepth = 512;  // a BRAM's depth: bursts of both planes in flight
constexpr int kParameterDepth = 1024;  // words; parameters of a layer ahead must not hold up the weights behind them
constexpr int kTileTokens = hw::kWeightRingBeats / hw::kWeightTileBeats;
constexpr int kHeldWeightDepth = 2 * hw::kWeightTileBeats;
constexpr int kPartialSumDepth = hw::kBlockGroups;  // also the double buffer: a block drains, the next accumulates
constexpr int kResidualDepth = hw::kBlockGroups;
constexpr int kFiredDepth = 16;
constexpr int kLogitsDepth = 2;
constexpr int kLogDepth = 16;

static_assert(kPartialSumDepth >= hw::kBlockGroups, "a block's partial sums wait for residuals that come behind them");
