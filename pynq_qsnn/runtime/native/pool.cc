#include <algorithm>

#include "layers.h"

namespace qsnn {
namespace {

class Pool : public Layer {
 public:
  Pool(const PoolSpec& spec, const std::vector<Tensor>& tensors)
      : source_(tensors[spec.source]), output_(tensors[spec.output]), spec_(spec) {
    if (spec.kind == 2) {
      while ((int64_t{1} << shift_) < spec.kernel * spec.kernel) ++shift_;
    }
  }

  // An item is an output row.
  int64_t Items(int64_t frames) const override { return frames * output_.steps * output_.height; }

  void Run(Workspace& workspace, int64_t begin, int64_t end) const override {
    const uint8_t* source = workspace.tensors[spec_.source].data();
    uint8_t* output = workspace.tensors[spec_.output].data();
    std::vector<uint32_t> sums(source_.channels);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item % output_.height, train = item / output_.height;
      const int64_t frame = train / output_.steps, step = train % output_.steps;
      for (int64_t col = 0; col < output_.width; ++col) {
        const uint8_t* window = source + source_.Offset(frame, step, row * spec_.stride - spec_.padding,
                                                        col * spec_.stride - spec_.padding);
        uint8_t* codes = output + output_.Offset(frame, step, row, col);
        if (spec_.kind == 0) {
          Maximum(window, codes);
        } else {
          Sum(window, sums.data(), codes);
        }
      }
    }
  }

 private:
  void Maximum(const uint8_t* window, uint8_t* __restrict codes) const {
    const int64_t channels = source_.channels;
    std::copy_n(window, channels, codes);
    for (int64_t row = 0; row < spec_.kernel; ++row) {
      for (int64_t col = 0; col < spec_.kernel; ++col) {
        const uint8_t* pixel = window + row * source_.RowBytes() + col * channels;
        for (int64_t c = 0; c < channels; ++c) codes[c] = std::max(codes[c], pixel[c]);
      }
    }
  }

  // A plain sum has shift_ 0; an average is the sum of a power-of-two window, shifted with rounding.
  void Sum(const uint8_t* window, uint32_t* __restrict sums, uint8_t* __restrict codes) const {
    const int64_t channels = source_.channels;
    std::fill_n(sums, channels, (1u << shift_) >> 1);
    for (int64_t row = 0; row < spec_.kernel; ++row) {
      for (int64_t col = 0; col < spec_.kernel; ++col) {
        const uint8_t* pixel = window + row * source_.RowBytes() + col * channels;
        for (int64_t c = 0; c < channels; ++c) sums[c] += pixel[c];
      }
    }
    for (int64_t c = 0; c < channels; ++c) codes[c] = static_cast<uint8_t>(sums[c] >> shift_);
  }

  Tensor source_, output_;
  PoolSpec spec_;
  int shift_ = 0;
};

class Flatten : public Layer {
 public:
  Flatten(int64_t source, int64_t output, const std::vector<Tensor>& tensors)
      : source_(tensors[source]), output_(tensors[output]), source_index_(source), output_index_(output) {}

  // An item is a step of a frame.
  int64_t Items(int64_t frames) const override { return frames * source_.steps; }

  void Run(Workspace& workspace, int64_t begin, int64_t end) const override {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t frame = item / source_.steps, step = item % source_.steps;
      uint8_t* codes = workspace.tensors[output_index_].data() + output_.Offset(frame, step, 0, 0);
      for (int64_t c = 0; c < source_.channels; ++c) {
        for (int64_t row = 0; row < source_.height; ++row) {
          const uint8_t* pixel = workspace.tensors[source_index_].data() + source_.Offset(frame, step, row, 0) + c;
          for (int64_t col = 0; col < source_.width; ++col) *codes++ = pixel[col * source_.channels];
        }
      }
    }
  }

 private:
  Tensor source_, output_;
  int64_t source_index_, output_index_;
};

}  // namespace

std::unique_ptr<Layer> MakePool(const PoolSpec& spec, const std::vector<Tensor>& tensors) {
  return std::make_unique<Pool>(spec, tensors);
}

std::unique_ptr<Layer> MakeFlatten(int64_t source, int64_t output, const std::vector<Tensor>& tensors) {
  return std::make_unique<Flatten>(source, output, tensors);
}

}  // namespace qsnn
