#include <algorithm>

#include "layers.h"

namespace qsnn {
namespace {

class Steps : public Layer {
 public:
  Steps(int64_t source, int64_t output, const std::vector<Tensor>& tensors)
      : source_(tensors[source]), output_(tensors[output]), source_index_(source), output_index_(output) {}

  // An item is a row of an output step.
  int64_t Items(int64_t frames) const override { return frames * output_.steps * output_.height; }

  void Run(Workspace& workspace, int64_t begin, int64_t end) const override {
    const int64_t bytes = source_.width * source_.channels;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item % output_.height, train = item / output_.height;
      const int64_t frame = train / output_.steps, step = train % output_.steps;
      const uint8_t* source = workspace.tensors[source_index_].data();
      uint8_t* output = workspace.tensors[output_index_].data() + output_.Offset(frame, step, row, 0);
      const int64_t first = step * source_.steps / output_.steps;  // the one that is repeated, or begins the sum
      std::copy_n(source + source_.Offset(frame, first, row, 0), bytes, output);
      for (int64_t other = 1; other < source_.steps / output_.steps; ++other) {
        const uint8_t* codes = source + source_.Offset(frame, first + other, row, 0);
        for (int64_t i = 0; i < bytes; ++i) output[i] += codes[i];
      }
    }
  }

 private:
  Tensor source_, output_;
  int64_t source_index_, output_index_;
};

}  // namespace

std::unique_ptr<Layer> MakeSteps(int64_t source, int64_t output, const std::vector<Tensor>& tensors) {
  return std::make_unique<Steps>(source, output, tensors);
}

}  // namespace qsnn
