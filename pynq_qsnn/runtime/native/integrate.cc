#include "integrate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qsnn {
namespace {

int64_t Saturate32(int64_t x) { return std::min<int64_t>(std::max<int64_t>(x, INT32_MIN), INT32_MAX); }

int64_t Half(int64_t shift) { return (int64_t{1} << shift) >> 1; }

int64_t RoundShift(int64_t x, int64_t shift) { return (x + Half(shift)) >> shift; }

}  // namespace

int64_t Current(const ChannelRule& channel, int64_t sum) {
  return Saturate32(RoundShift(sum * channel.multiplier, channel.shift)) + channel.bias;
}

template <typename Sum>
void IntegrateOne(const NeuronRule& rule, const ChannelRule& channel, const Sum* sums, int64_t sum_stride,
                  const uint8_t* skips, int64_t skip_stride, uint8_t* codes, int64_t code_stride) {
  int64_t v = channel.start;
  for (int t = 0; t < rule.num_steps; ++t) {
    int64_t u = Current(channel, sums[t * sum_stride]);
    if (rule.skip == SkipDomain::kCurrent) {
      u += RoundShift(skips[t * skip_stride] * channel.skip_multiplier, channel.skip_shift);
    }
    v = Saturate32((rule.leak_shift < 0 ? v : v - (v >> rule.leak_shift)) + u);
    int64_t s = std::min<int64_t>(std::max<int64_t>(v >> kFractionBits, 0), rule.s_max);
    v = rule.reset_to_zero ? (s > 0 ? 0 : v) : v - (s << kFractionBits);
    if (rule.skip == SkipDomain::kSpike) s = std::min<int64_t>(s + skips[t * skip_stride], rule.skip_s_max);
    if (rule.skip == SkipDomain::kIand) s = (1 - s) * skips[t * skip_stride];
    codes[t * code_stride] = static_cast<uint8_t>(s);
  }
}

template void IntegrateOne(const NeuronRule&, const ChannelRule&, const int64_t*, int64_t, const uint8_t*, int64_t,
                           uint8_t*, int64_t);

NeuronPanel::NeuronPanel(const NeuronRule& rule, const std::vector<ChannelRule>& channels)
    : rule_(rule), channels_(channels), vectors_((channels.size() + kLanes - 1) / kLanes), method_(Method::kWide) {
  const size_t lanes = vectors_ * kLanes;
  if (FitStaircase()) {
    method_ = Method::kStaircase;
  } else if (FitsNarrow()) {
    method_ = Method::kNarrow;
    wide_.assign(vectors_ * 2, WideConstants{});
    for (auto* constants : {&start_, &skip_multiplier_, &skip_addend_, &skip_shift_}) constants->assign(lanes, 0);
    for (size_t c = 0; c < channels_.size(); ++c) {
      const ChannelRule& channel = channels_[c];
      WideConstants& wide = wide_[c / kLanes * 2 + c % 2];
      const size_t lane = c % kLanes / 2;
      wide.multiplier[lane] = channel.multiplier;
      wide.shift[lane] = channel.shift;
      wide.addend[lane] = Half(channel.shift) + channel.bias * (int64_t{1} << channel.shift);
      start_[c] = static_cast<int32_t>(channel.start);
      skip_multiplier_[c] = static_cast<int32_t>(channel.skip_multiplier);
      skip_addend_[c] = static_cast<int32_t>(Half(channel.skip_shift));
      skip_shift_[c] = static_cast<int32_t>(channel.skip_shift);
    }
  }
}

// The membrane cannot grow by more than the largest current a step: leak and reset move it towards zero.
bool NeuronPanel::FitsNarrow() const {
  constexpr int64_t kAddendLimit = int64_t{1} << 61;  // beside a product below 2**49
  constexpr int64_t kSkipLimit = int64_t{1} << 30;
  for (const ChannelRule& channel : channels_) {
    if (std::abs(channel.bias) > kAddendLimit >> channel.shift) return false;
    int64_t largest = RoundShift(channel.largest_sum * std::abs(channel.multiplier), channel.shift) + 1;
    largest += std::abs(channel.bias);
    if (rule_.skip == SkipDomain::kCurrent) {
      const int64_t product = rule_.skip_largest_code * std::abs(channel.skip_multiplier);
      if (product + Half(channel.skip_shift) >= kSkipLimit) return false;
      largest += RoundShift(product, channel.skip_shift) + 1;
    }
    if (std::abs(channel.start) + rule_.num_steps * largest > INT32_MAX) return false;
  }
  return true;
}

// Chooses slope and intercept of every lane, then proves them. The code as a function of the sum is a staircase between
// -largest_sum and largest_sum; where it reaches k it fixes two neighbouring sums, one with a code of at least k and
// one below. Float multiplication, addition and conversion are monotone, so a line that is right at all those is right
// everywhere.
bool NeuronPanel::FitStaircase() {
  if (rule_.num_steps != 1 || rule_.skip == SkipDomain::kCurrent) return false;
  constexpr double kUnbounded = std::numeric_limits<double>::infinity();
  NeuronRule plain = rule_;
  plain.skip = SkipDomain::kNone;
  slope_.assign(vectors_ * kLanes, 0.0f);
  intercept_.assign(vectors_ * kLanes, 0.0f);
  std::vector<std::vector<int32_t>> probes(channels_.size());
  for (size_t c = 0; c < channels_.size(); ++c) {
    const ChannelRule& channel = channels_[c];
    const int64_t rising = channel.multiplier < 0 ? -1 : 1;
    const auto code = [&](int64_t step) {  // of the sum rising * step: never decreases with step
      const int32_t sum = static_cast<int32_t>(rising * step);
      uint8_t result;
      IntegrateOne(plain, channel, &sum, 0, nullptr, 0, &result, 0);
      return static_cast<int>(result);
    };
    const int64_t end = channel.largest_sum;
    const double slope = std::ldexp(static_cast<double>(channel.multiplier), -(channel.shift + kFractionBits)) * rising;
    double low = -kUnbounded, high = kUnbounded;  // the intercept lies between them
    const auto bound = [&](int64_t step) {
      const int reached = code(step);
      probes[c].push_back(static_cast<int32_t>(rising * step));
      if (reached > 0) low = std::max(low, reached - slope * step);
      if (reached < rule_.s_max) high = std::min(high, reached + 1 - slope * step);
    };
    bound(-end);
    bound(end);
    for (int k = code(-end) + 1; k <= code(end); ++k) {
      int64_t below = -end, above = end;
      while (above - below > 1) {
        const int64_t middle = below + (above - below) / 2;
        (code(middle) >= k ? above : below) = middle;
      }
      bound(above);
      bound(below);
    }
    slope_[c] = static_cast<float>(slope * rising);
    if (low == -kUnbounded) low = high - 1;
    if (high == kUnbounded) high = low + 1;
    intercept_[c] = static_cast<float>((low + high) / 2);
  }
  return StaircaseHolds(probes);
}

bool NeuronPanel::StaircaseHolds(const std::vector<std::vector<int32_t>>& probes) const {
  const int lanes = vectors_ * kLanes;
  size_t count = 0;
  for (const auto& sums : probes) count = std::max(count, sums.size());
  std::vector<int32_t> sums(count * lanes, 0);
  std::vector<uint8_t> codes(count * lanes, 0);
  std::vector<uint8_t*> outputs(count);
  for (size_t i = 0; i < count; ++i) {
    outputs[i] = codes.data() + i * lanes;
    for (size_t c = 0; c < probes.size(); ++c) sums[i * lanes + c] = probes[c][std::min(i, probes[c].size() - 1)];
  }
  NeuronPanel plain = *this;
  plain.rule_.skip = SkipDomain::kNone;
  plain.IntegrateStaircase({sums.data(), static_cast<int>(count), 1, outputs.data(), 0, nullptr, 0});
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < probes.size(); ++c) {
      uint8_t expected;
      IntegrateOne(plain.rule_, channels_[c], &sums[i * lanes + c], 0, nullptr, 0, &expected, 0);
      if (outputs[i][c] != expected) return false;
    }
  }
  return true;
}

void NeuronPanel::Integrate(const Block& block) const {
  switch (method_) {
    case Method::kStaircase:
      return IntegrateStaircase(block);
    case Method::kNarrow:
      return IntegrateNarrow(block);
    case Method::kWide:
      return IntegrateWide(block);
  }
}

// One copy, neither inlined nor cloned: the proof in StaircaseHolds is about this machine code, whether or not it fuses
// multiply and add.
__attribute__((noipa)) void NeuronPanel::IntegrateStaircase(const Block& given) const {
  const Block block = given;  // locals stay in registers: a store of codes could alias anything behind a reference
  const NeuronRule rule = rule_;
  const int channels = static_cast<int>(channels_.size());
  for (int vector = 0; vector < vectors_; ++vector) {
    const int first = vector * kLanes;
    const auto slope = Load<Float32x16>(&slope_[first]);
    const auto intercept = Load<Float32x16>(&intercept_[first]);
    for (int pixel = 0; pixel < block.pixels; ++pixel) {
      const auto sum = Load<Int32x16>(block.sums + pixel * vectors_ * kLanes + first);
      const Float32x16 level = Convert<Float32x16>(sum) * slope + intercept;
      Int32x16 s = Convert<Int32x16>(Clamp(level, 0.0f, static_cast<float>(rule.s_max)));
      if (rule.skip == SkipDomain::kSpike) {
        s += Widen(Load<Uint8x16>(block.skips[pixel] + first));
        s = Clamp(s, 0, rule.skip_s_max);
      } else if (rule.skip == SkipDomain::kIand) {
        s = (1 - s) * Widen(Load<Uint8x16>(block.skips[pixel] + first));
      }
      StoreFirst(block.outputs[pixel] + first, Convert<Uint8x16>(s), channels - first);
    }
  }
}

void NeuronPanel::IntegrateNarrow(const Block& given) const {
  const Block block = given;
  const NeuronRule rule = rule_;
  const int channels = static_cast<int>(channels_.size());
  const int lanes = vectors_ * kLanes;
  for (int first = 0; first < channels; first += kLanes) {
    const auto even = Load<WideConstants>(&wide_[first / kLanes * 2]);
    const auto odd = Load<WideConstants>(&wide_[first / kLanes * 2 + 1]);
    const auto start = Load<Int32x16>(&start_[first]);
    const auto skip_multiplier = Load<Int32x16>(&skip_multiplier_[first]);
    const auto skip_addend = Load<Int32x16>(&skip_addend_[first]);
    const auto skip_shift = Load<Int32x16>(&skip_shift_[first]);
    const int32_t* sums = block.sums + first;
    for (int pixel = 0; pixel < block.pixels; ++pixel) {
      Int32x16 v = start;
      Int32x16 current = {};
      for (int t = 0; t < rule.num_steps; ++t) {
        if (t < block.input_steps) {
          const auto pairs = Load<Int64x8>(sums);
          const Int64x8 low = (((pairs << 32) >> 32) * even.multiplier + even.addend) >> even.shift;
          const Int64x8 high = ((pairs >> 32) * odd.multiplier + odd.addend) >> odd.shift;
          current = reinterpret_cast<Int32x16>((low & UINT32_MAX) | (high << 32));
          sums += lanes;
        }
        if (rule.leak_shift >= 0) v -= v >> rule.leak_shift;
        v += current;
        Int32x16 skip = {};
        if (rule.skip != SkipDomain::kNone) {
          skip = Widen(Load<Uint8x16>(block.skips[pixel] + t * block.skip_step + first));
        }
        if (rule.skip == SkipDomain::kCurrent) v += (skip * skip_multiplier + skip_addend) >> skip_shift;
        Int32x16 s = Clamp(v >> kFractionBits, 0, rule.s_max);
        v = rule.reset_to_zero ? (s > 0 ? Int32x16{} : v) : v - (s << kFractionBits);
        if (rule.skip == SkipDomain::kSpike) s = Clamp(s + skip, 0, rule.skip_s_max);
        if (rule.skip == SkipDomain::kIand) s = (1 - s) * skip;
        StoreFirst(block.outputs[pixel] + t * block.output_step + first, Convert<Uint8x16>(s), channels - first);
      }
    }
  }
}

void NeuronPanel::IntegrateWide(const Block& block) const {
  const int64_t lanes = vectors_ * kLanes;
  const int64_t sum_stride = block.input_steps == 1 ? 0 : lanes;
  for (int pixel = 0; pixel < block.pixels; ++pixel) {
    for (size_t c = 0; c < channels_.size(); ++c) {
      const uint8_t* skips = block.skips ? block.skips[pixel] + c : nullptr;
      IntegrateOne(rule_, channels_[c], block.sums + pixel * block.input_steps * lanes + c, sum_stride, skips,
                   block.skip_step, block.outputs[pixel] + c, block.output_step);
    }
  }
}

}  // namespace qsnn
