// Exact int32 sums of uint8 codes times int8 weights for a block of output pixels and a panel of output channels.
#pragma once

#include <cstdint>
#include <vector>

#include "vectors.h"

namespace qsnn {

constexpr int kMaxVectors = 4;  // vectors of a panel
constexpr int kMaxLanes = kMaxVectors * kLanes;

// Where a convolution finds the codes of one output pixel, seen from its first one: contiguous runs of bytes.
// A dense kernel row is one run, because the columns of a window and their channels are neighbours in NHWC order.
struct Runs {
  std::vector<int64_t> offsets;  // [runs], bytes
  int bytes;                     // of codes in a run
};

// Weights of up to kMaxLanes output channels that read the same codes, in the order the inner loop wants them.
struct DensePanel {
  int vectors;                  // of kLanes output channels
  std::vector<int8_t> weights;  // [runs][bytes / kTaps][vectors][kLanes][kTaps], zero where codes or channels end
  int safe_products;            // so many products of codes and weights add up within int16
};

// weight: int8 [channels][runs][runs.bytes]; s_max: largest code.
DensePanel PackDense(const int8_t* weight, int channels, const Runs& runs, int s_max);

// sums: int32 [slots][panel.vectors * kLanes], of the window that starts at each slot. May read kReadAhead bytes past
// the last run, multiplied by zero.
void AccumulateDense(const DensePanel& panel, const Runs& runs, const uint8_t* const* slots, int count, int32_t* sums);

// Depthwise: output channel c reads channel c. weight: int8 [offsets][vectors * kLanes], zero behind the last channel.
void AccumulateDepthwise(const std::vector<int64_t>& offsets, const int8_t* weight, int vectors,
                         const uint8_t* const* slots, int count, int32_t* sums);

constexpr int kReadAhead = kMaxLanes;  // bytes that must be readable behind a tensor

}  // namespace qsnn
