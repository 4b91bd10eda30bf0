// Scale, charge, fire, reset for a block of sums. The meaning is pynq_qsnn/neuron.py's, to the bit.
#pragma once

#include <cstdint>
#include <vector>

#include "accumulate.h"

namespace qsnn {

constexpr int kFractionBits = 16;

enum class SkipDomain { kNone, kSpike, kCurrent, kIand };

// What all channels of a layer share.
struct NeuronRule {
  int num_steps;
  int s_max;
  int leak_shift;  // -1: IF
  bool reset_to_zero;
  SkipDomain skip;
  int skip_s_max;         // spike domain: where the sum saturates
  int skip_largest_code;  // of the skip's source
};

// One output channel's constants.
struct ChannelRule {
  int64_t multiplier, shift, bias;
  int64_t start;                        // membrane before the first step
  int64_t skip_multiplier, skip_shift;  // current domain; 0 where the skip's source has no such channel
  int64_t largest_sum;                  // |acc| never exceeds it
};

// Sums and addresses of one block. A vector behind the last valid channel may be computed, and is not stored.
struct Block {
  const int32_t* sums;  // [pixels][input_steps][lanes]; one input step is replayed over all steps
  int pixels;
  int input_steps;
  uint8_t* const* outputs;  // [pixels], codes of the panel's first channel at step 0
  int64_t output_step;      // bytes from a step to the next
  const uint8_t* const* skips;
  int64_t skip_step;
};

// The neurons of a panel. Three ways to the same codes, the cheapest exact one is chosen when the panel is built:
//   staircase  one step: the code is a monotone function of the sum, evaluated as clamp(floor(sum * a + b)) in float
//              and proved at every sum where the code changes;
//   narrow     no value can leave int32: 64-bit products, everything behind the shift in 32 bits, no saturation;
//   wide       the definition, in int64.
class NeuronPanel {
 public:
  NeuronPanel(const NeuronRule& rule, const std::vector<ChannelRule>& channels);

  void Integrate(const Block& block) const;

 private:
  enum class Method { kStaircase, kNarrow, kWide };

  // u = (sum * multiplier + addend) >> shift, with rounding and bias in the addend, for every other lane of a vector:
  // 64-bit products of a vector's even lanes and of its odd lanes need no shuffle.
  struct WideConstants {
    Int64x8 multiplier, addend, shift;
  };

  bool FitsNarrow() const;
  bool FitStaircase();
  bool StaircaseHolds(const std::vector<std::vector<int32_t>>& probes) const;
  void IntegrateStaircase(const Block& block) const;
  void IntegrateNarrow(const Block& block) const;
  void IntegrateWide(const Block& block) const;

  NeuronRule rule_;
  std::vector<ChannelRule> channels_;
  int vectors_;
  Method method_;
  std::vector<WideConstants> wide_;  // narrow, [vectors][2]: of even and of odd lanes
  std::vector<int32_t> start_, skip_multiplier_, skip_addend_, skip_shift_;  // narrow, [lanes]
  std::vector<float> slope_, intercept_;                                     // staircase, [lanes]
};

// The definition for one neuron. sums: int32 or int64, one a step with a stride; skips: the residual's codes, or null.
template <typename Sum>
void IntegrateOne(const NeuronRule& rule, const ChannelRule& channel, const Sum* sums, int64_t sum_stride,
                  const uint8_t* skips, int64_t skip_stride, uint8_t* codes, int64_t code_stride);

// Current of one step without the residual: sat32(round_shift(sum * multiplier, shift)) + bias.
int64_t Current(const ChannelRule& channel, int64_t sum);

}  // namespace qsnn
