// Tensors in memory and the layers that fill them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "integrate.h"

namespace qsnn {

// A spike train of codes, uint8 [frames][steps][halo + height + halo][halo + width + halo][channels]. The halo is as
// wide as the largest padding of any reader; it holds zeros from the start and nobody writes it.
struct Tensor {
  int64_t channels, height, width, steps, halo;
  int64_t s_max;

  int64_t RowBytes() const { return (width + 2 * halo) * channels; }
  int64_t StepBytes() const { return (height + 2 * halo) * RowBytes(); }
  int64_t FrameBytes() const { return steps * StepBytes(); }
  // Offset of pixel (row, col) of the map itself; negative ones lie in the halo.
  int64_t Offset(int64_t frame, int64_t step, int64_t row, int64_t col) const {
    return frame * FrameBytes() + step * StepBytes() + (row + halo) * RowBytes() + (col + halo) * channels;
  }
};

// All that a run changes: the tensors of the frames in flight. Threads that share one also share the frames.
struct Workspace {
  std::vector<std::vector<uint8_t>> tensors;
  int64_t frames = 0;         // in flight
  int32_t* logits = nullptr;  // of these frames, [frames][classes]

  void Reserve(const std::vector<Tensor>& shapes, int64_t capacity);

 private:
  int64_t capacity_ = 0;
};

// A layer's work falls into items that are independent of each other: threads share them out.
class Layer {
 public:
  virtual ~Layer() = default;
  virtual int64_t Items(int64_t frames) const = 0;
  virtual void Run(Workspace& workspace, int64_t begin, int64_t end) const = 0;
};

// Mirrored by simulator.py's _NeuronSpec. The head uses its scales and steps only.
struct NeuronSpec {
  int64_t num_steps, s_max, leak_shift, reset_to_zero;
  const int64_t *multiplier, *shift, *bias, *start;  // [channels]
};

// Mirrored by simulator.py's _ConvolutionSpec. Tensors are indices. Arrays are only read during construction.
struct ConvolutionSpec {
  int64_t source, output;  // output -1: the head, which sums currents into the logits
  int64_t channels;        // of the output
  int64_t kernel_height, kernel_width, stride, padding, groups;
  int64_t skip_domain, skip_source, skip_s_max, skip_stride;
  const int8_t* weight;                         // [channels][kernel_height][kernel_width][source channels / groups]
  const int64_t *skip_multiplier, *skip_shift;  // [channels], current domain only
  NeuronSpec neuron;
};

// Mirrored by simulator.py's _PoolSpec.
struct PoolSpec {
  int64_t source, output;
  int64_t kind;  // 0 maximum, 1 sum, 2 average
  int64_t kernel, stride, padding;
};

// Mirrored by simulator.py's _AttentionSpec.
struct AttentionSpec {
  int64_t query, key, value, output;
  int64_t heads;
  NeuronSpec neuron;
};

NeuronRule MakeNeuronRule(const NeuronSpec& spec);
ChannelRule MakeChannelRule(const NeuronSpec& spec, int64_t channel, int64_t largest_sum);

// Convolution, linear layer and head: a linear layer on a map is a convolution whose kernel is the map.
std::unique_ptr<Layer> MakeConvolution(const ConvolutionSpec& spec, const std::vector<Tensor>& tensors);
std::unique_ptr<Layer> MakePool(const PoolSpec& spec, const std::vector<Tensor>& tensors);
// Neurons on the sums (Q K^T) V.
std::unique_ptr<Layer> MakeAttention(const AttentionSpec& spec, const std::vector<Tensor>& tensors);
// Each step repeated, or neighbouring steps' codes summed, as the steps of both tensors say.
std::unique_ptr<Layer> MakeSteps(int64_t source, int64_t output, const std::vector<Tensor>& tensors);
// [C, H, W] -> [C * H * W, 1, 1] in C, H, W order.
std::unique_ptr<Layer> MakeFlatten(int64_t source, int64_t output, const std::vector<Tensor>& tensors);

}  // namespace qsnn
