#include <algorithm>
#include <cstdlib>

#include "layers.h"

namespace qsnn {
namespace {

constexpr int64_t kBlockSlots = 48;  // sums of a block: 48 * 64 int32, well inside L1

class Convolution : public Layer {
 public:
  Convolution(const ConvolutionSpec& spec, const std::vector<Tensor>& tensors);

  int64_t Items(int64_t frames) const override { return Blocks(frames) * static_cast<int64_t>(panels_.size()); }
  void Run(Workspace& workspace, int64_t begin, int64_t end) const override;

 private:
  // Up to kMaxLanes output channels of one group.
  struct Panel {
    int64_t first_channel;
    int channels;
    int vectors;
    int64_t source_channel;  // first one it reads
    DensePanel dense;
    std::vector<int8_t> depthwise;
    std::unique_ptr<NeuronPanel> neurons;  // null in the head
    std::vector<ChannelRule> rules;        // of the head
  };

  void AddPanel(const ConvolutionSpec& spec, int64_t first, int64_t count);
  std::vector<ChannelRule> Rules(const ConvolutionSpec& spec, int64_t first, int64_t count) const;
  int64_t Blocks(int64_t frames) const { return (frames * height_ * width_ + block_pixels_ - 1) / block_pixels_; }
  void RunBlock(Workspace& workspace, const Panel& panel, int64_t first_pixel, int pixels, int32_t* sums) const;
  void SumLogits(const Panel& panel, const int32_t* sums, int frames, int32_t* logits) const;

  Tensor source_, output_, skip_{};
  int64_t source_index_, output_index_, skip_index_;
  int64_t channels_, height_, width_, stride_, padding_, skip_stride_;
  int64_t block_pixels_;
  NeuronRule rule_;
  bool depthwise_;
  Runs runs_;
  std::vector<Panel> panels_;
};

Convolution::Convolution(const ConvolutionSpec& spec, const std::vector<Tensor>& tensors)
    : source_(tensors[spec.source]),
      source_index_(spec.source),
      output_index_(spec.output),
      skip_index_(spec.skip_source),
      channels_(spec.channels),
      height_((source_.height + 2 * spec.padding - spec.kernel_height) / spec.stride + 1),
      width_((source_.width + 2 * spec.padding - spec.kernel_width) / spec.stride + 1),
      stride_(spec.stride),
      padding_(spec.padding),
      skip_stride_(spec.skip_stride),
      block_pixels_(std::max<int64_t>(1, kBlockSlots / source_.steps)),
      rule_(MakeNeuronRule(spec.neuron)),
      depthwise_(spec.groups > 1 && spec.groups == source_.channels && spec.groups == spec.channels) {
  if (output_index_ >= 0) output_ = tensors[output_index_];
  rule_.skip = static_cast<SkipDomain>(spec.skip_domain);
  rule_.skip_s_max = static_cast<int>(spec.skip_s_max);
  if (rule_.skip != SkipDomain::kNone) {
    skip_ = tensors[skip_index_];
    rule_.skip_largest_code = static_cast<int>(skip_.s_max);
  }
  const int64_t group_channels = source_.channels / spec.groups;
  const bool rows_are_runs = spec.groups == 1;
  runs_.bytes = static_cast<int>(rows_are_runs ? spec.kernel_width * source_.channels : group_channels);
  for (int64_t row = 0; row < spec.kernel_height; ++row) {
    for (int64_t col = 0; col < (rows_are_runs ? 1 : spec.kernel_width); ++col) {
      runs_.offsets.push_back(row * source_.RowBytes() + col * source_.channels);
    }
  }
  const int64_t period = depthwise_ ? channels_ : channels_ / spec.groups;  // channels that panels may span
  for (int64_t first = 0; first < channels_; first += period) {
    const int64_t vectors = (period + kLanes - 1) / kLanes;
    const int64_t count = (vectors + kMaxVectors - 1) / kMaxVectors;
    for (int64_t panel = 0; panel < count; ++panel) {
      const int64_t begin = vectors * panel / count * kLanes;
      const int64_t end = std::min(vectors * (panel + 1) / count * kLanes, period);
      AddPanel(spec, first + begin, end - begin);
    }
  }
}

void Convolution::AddPanel(const ConvolutionSpec& spec, int64_t first, int64_t count) {
  const int64_t taps = static_cast<int64_t>(runs_.offsets.size()) * runs_.bytes;
  const int8_t* weight = spec.weight + first * taps;
  Panel panel;
  panel.first_channel = first;
  panel.channels = static_cast<int>(count);
  panel.vectors = static_cast<int>((count + kLanes - 1) / kLanes);
  if (depthwise_) {
    const int64_t lanes = panel.vectors * kLanes;
    panel.source_channel = first;
    panel.depthwise.assign(taps * lanes, 0);
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) panel.depthwise[tap * lanes + c] = weight[c * taps + tap];
    }
  } else {
    panel.source_channel = first / (channels_ / spec.groups) * (source_.channels / spec.groups);
    panel.dense = PackDense(weight, panel.channels, runs_, static_cast<int>(source_.s_max));
  }
  panel.rules = Rules(spec, first, count);
  if (output_index_ >= 0) panel.neurons = std::make_unique<NeuronPanel>(rule_, panel.rules);
  panels_.push_back(std::move(panel));
}

std::vector<ChannelRule> Convolution::Rules(const ConvolutionSpec& spec, int64_t first, int64_t count) const {
  const int64_t taps = static_cast<int64_t>(runs_.offsets.size()) * runs_.bytes;
  std::vector<ChannelRule> rules(count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = first + i;
    const int8_t* weight = spec.weight + c * taps;
    int64_t largest = 0;
    for (int64_t tap = 0; tap < taps; ++tap) largest += std::abs(static_cast<int>(weight[tap]));
    ChannelRule& rule = rules[i] = MakeChannelRule(spec.neuron, c, largest * source_.s_max);
    if (rule_.skip == SkipDomain::kCurrent && c < skip_.channels) {
      rule.skip_multiplier = spec.skip_multiplier[c];
      rule.skip_shift = spec.skip_shift[c];
    }
  }
  return rules;
}

void Convolution::Run(Workspace& workspace, int64_t begin, int64_t end) const {
  const int64_t blocks = Blocks(workspace.frames);
  const int64_t pixels = workspace.frames * height_ * width_;
  std::vector<int32_t> sums(block_pixels_ * source_.steps * kMaxLanes);
  for (int64_t item = begin; item < end; ++item) {  // panel by panel: its weights stay in cache
    const int64_t first = item % blocks * block_pixels_;
    const int count = static_cast<int>(std::min(block_pixels_, pixels - first));
    RunBlock(workspace, panels_[item / blocks], first, count, sums.data());
  }
}

void Convolution::RunBlock(Workspace& workspace, const Panel& panel, int64_t first_pixel, int pixels,
                           int32_t* sums) const {
  const uint8_t* slots[kBlockSlots + UINT8_MAX];  // a block of one pixel may have 255 steps
  uint8_t* outputs[kBlockSlots];
  const uint8_t* skips[kBlockSlots];
  int count = 0, pixel = 0;
  while (pixel < pixels) {  // the rest of an output row; pixels of a row are equally far apart
    const int64_t col = (first_pixel + pixel) % width_;
    const int64_t row = (first_pixel + pixel) / width_ % height_;
    const int64_t frame = (first_pixel + pixel) / width_ / height_;
    const uint8_t* slot = workspace.tensors[source_index_].data() + panel.source_channel +
                          source_.Offset(frame, 0, row * stride_ - padding_, col * stride_ - padding_);
    const int row_end = static_cast<int>(std::min<int64_t>(pixels, pixel + width_ - col));
    const int row_begin = pixel;
    for (; pixel < row_end; ++pixel, slot += stride_ * source_.channels) {
      for (int64_t t = 0; t < source_.steps; ++t) slots[count++] = slot + t * source_.StepBytes();
    }
    if (panel.neurons) {
      uint8_t* output = workspace.tensors[output_index_].data() + output_.Offset(frame, 0, row, col);
      output += panel.first_channel;
      for (int i = row_begin; i < row_end; ++i, output += output_.channels) outputs[i] = output;
    }
    if (rule_.skip != SkipDomain::kNone) {
      const int64_t offset = skip_.Offset(frame, 0, row * skip_stride_, col * skip_stride_);
      const uint8_t* skip = workspace.tensors[skip_index_].data() + offset + panel.first_channel;
      for (int i = row_begin; i < row_end; ++i, skip += skip_stride_ * skip_.channels) skips[i] = skip;
    }
  }
  if (depthwise_) {
    AccumulateDepthwise(runs_.offsets, panel.depthwise.data(), panel.vectors, slots, count, sums);
  } else {
    AccumulateDense(panel.dense, runs_, slots, count, sums);
  }
  if (panel.neurons) {
    const bool has_skip = rule_.skip != SkipDomain::kNone;
    panel.neurons->Integrate({sums, pixels, static_cast<int>(source_.steps), outputs, output_.StepBytes(),
                              has_skip ? skips : nullptr, skip_.StepBytes()});
  } else {
    SumLogits(panel, sums, pixels, workspace.logits + first_pixel * channels_ + panel.first_channel);
  }
}

void Convolution::SumLogits(const Panel& panel, const int32_t* sums, int frames, int32_t* logits) const {
  const int64_t lanes = panel.vectors * kLanes;
  for (int frame = 0; frame < frames; ++frame) {
    for (int c = 0; c < panel.channels; ++c) {
      int64_t logit = 0;
      for (int64_t t = 0; t < rule_.num_steps; ++t) {
        logit += Current(panel.rules[c], sums[(source_.steps == 1 ? 0 : t) * lanes + c]);
      }
      logits[frame * channels_ + c] = static_cast<int32_t>(logit);
    }
    sums += source_.steps * lanes;
  }
}

}  // namespace

NeuronRule MakeNeuronRule(const NeuronSpec& spec) {
  NeuronRule rule{};
  rule.num_steps = static_cast<int>(spec.num_steps);
  rule.s_max = static_cast<int>(spec.s_max);
  rule.leak_shift = static_cast<int>(spec.leak_shift);
  rule.reset_to_zero = spec.reset_to_zero != 0;
  return rule;
}

ChannelRule MakeChannelRule(const NeuronSpec& spec, int64_t channel, int64_t largest_sum) {
  return {spec.multiplier[channel], spec.shift[channel], spec.bias[channel], spec.start[channel], 0, 0, largest_sum};
}

std::unique_ptr<Layer> MakeConvolution(const ConvolutionSpec& spec, const std::vector<Tensor>& tensors) {
  return std::make_unique<Convolution>(spec, tensors);
}

}  // namespace qsnn
