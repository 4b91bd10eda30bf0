#include <algorithm>
#include <type_traits>

#include "layers.h"

namespace qsnn {
namespace {

constexpr int64_t kTokens = 32;  // of a block
#if defined(__AVX512F__)
constexpr int kRows = 8;  // vectors of sums that stay in registers
#else
constexpr int kRows = 4;
#endif

// Below it, sums of products of integers are exact in float, in any order, fused or not. In double they are exact for
// all that a network may hold. Vector units multiply either faster than integers of its width, if they can do those.
constexpr int64_t kExactFloat = int64_t{1} << 24;

constexpr int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

template <typename Real>
struct Matrix {
  explicit Matrix(int64_t rows = 0, int64_t columns = 0)
      : columns(RoundUp(columns, kLanes)), values(RoundUp(rows, kRows) * this->columns) {}

  Real* Row(int64_t row) { return values.data() + row * columns; }
  const Real* Row(int64_t row) const { return values.data() + row * columns; }
  void Clear() { std::fill(values.begin(), values.end(), Real{0}); }

  int64_t columns;
  std::vector<Real> values;
};

// The left factor of a product: row r and column i are at values[r * row_step + i * column_step].
template <typename Real>
struct Left {
  const Real* values;
  int64_t row_step, column_step;
};

// out += left * the first `inner` rows of right; `rows` are rounded up to a multiple of kRows.
template <typename Real>
void MultiplyAdd(const Left<Real>& left, int64_t rows, int64_t inner, const Matrix<Real>& right, Real* out,
                 int64_t out_step) {
  typedef Real Vector __attribute__((vector_size(64)));
  for (int64_t column = 0; column < right.columns; column += sizeof(Vector) / sizeof(Real)) {
    for (int64_t row = 0; row < rows; row += kRows) {
      const Real* factors = left.values + row * left.row_step;
      Real* place = out + row * out_step + column;
      Vector sum[kRows];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sum[r] = Load<Vector>(place + r * out_step);
      for (int64_t i = 0; i < inner; ++i) {
        const auto vector = Load<Vector>(right.Row(i) + column);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) sum[r] += vector * factors[r * left.row_step + i * left.column_step];
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) Store(place + r * out_step, sum[r]);
    }
  }
}

// A tensor as rows of tokens.
struct Tokens {
  Tokens(int64_t index, const std::vector<Tensor>& tensors) : index(index), tensor(tensors[index]) {
    for (int64_t row = 0; row < tensor.height; ++row) {
      for (int64_t col = 0; col < tensor.width; ++col) {
        offsets.push_back(tensor.Offset(0, 0, row, col) - tensor.Offset(0, 0, 0, 0));
      }
    }
  }

  uint8_t* First(Workspace& workspace, int64_t frame, int64_t step) const {
    return workspace.tensors[index].data() + tensor.Offset(frame, step, 0, 0);
  }

  int64_t index;
  Tensor tensor;
  std::vector<int64_t> offsets;  // bytes from the first token of a step to each
};

// Real: type of the products. Sum: what the neurons get, int32_t or int64_t.
template <typename Real, typename Sum>
class Attention : public Layer {
 public:
  Attention(const AttentionSpec& spec, const std::vector<Tensor>& tensors, int64_t largest_sum);

  // An item is a head of a frame.
  int64_t Items(int64_t frames) const override { return frames * heads_; }

  void Run(Workspace& workspace, int64_t begin, int64_t end) const override {
    Work work(*this, workspace);
    for (int64_t item = begin; item < end; ++item) work.Run(item / heads_, item % heads_);
  }

 private:
  class Work;

  Tokens query_, key_, value_, output_;
  int64_t heads_, channels_, tokens_, steps_;  // channels: of a head
  bool scores_first_;                          // (Q K^T) V, whose cost grows with tokens^2; or Q (K^T V)
  NeuronRule rule_;
  std::vector<ChannelRule> rules_;
  std::vector<NeuronPanel> panels_;  // of each head, when the sums are int32
};

template <typename Real, typename Sum>
Attention<Real, Sum>::Attention(const AttentionSpec& spec, const std::vector<Tensor>& tensors, int64_t largest_sum)
    : query_(spec.query, tensors),
      key_(spec.key, tensors),
      value_(spec.value, tensors),
      output_(spec.output, tensors),
      heads_(spec.heads),
      channels_(query_.tensor.channels / heads_),
      tokens_(query_.offsets.size()),
      steps_(query_.tensor.steps),
      scores_first_(tokens_ <= channels_),
      rule_(MakeNeuronRule(spec.neuron)) {
  for (int64_t c = 0; c < heads_ * channels_; ++c) rules_.push_back(MakeChannelRule(spec.neuron, c, largest_sum));
  if constexpr (std::is_same_v<Sum, int32_t>) {
    for (int64_t head = 0; head < heads_; ++head) {
      for (int64_t c = 0; c < channels_; c += kMaxLanes) {
        const auto begin = rules_.begin() + head * channels_ + c;
        const int64_t count = std::min<int64_t>(kMaxLanes, channels_ - c);
        panels_.emplace_back(rule_, std::vector<ChannelRule>(begin, begin + count));
      }
    }
  }
}

// One thread's work on one head of a frame after another. Behind the last channel of a head, a matrix holds what comes
// of the codes that follow there, which are no larger: no product of channels reads it, and no neuron stores it.
template <typename Real, typename Sum>
class Attention<Real, Sum>::Work {
 public:
  Work(const Attention& layer, Workspace& workspace)
      : layer_(layer),
        workspace_(workspace),
        queries_(kTokens, layer.channels_),
        products_(kTokens * layer.steps_, layer.channels_),
        sums_(products_.values.size()) {
    if (layer.scores_first_) {
      keys_.assign(layer.steps_, Matrix<Real>(layer.channels_, layer.tokens_));
      right_.assign(layer.steps_, Matrix<Real>(layer.tokens_, layer.channels_));
      scores_ = Matrix<Real>(kTokens, layer.tokens_);
    } else {
      keys_.assign(1, Matrix<Real>(kTokens, layer.channels_));
      values_ = keys_[0];
      right_.assign(layer.steps_, Matrix<Real>(layer.channels_, layer.channels_));
    }
  }

  void Run(int64_t frame, int64_t head) {
    frame_ = frame;
    head_ = head;
    for (int64_t step = 0; step < layer_.steps_; ++step) {
      if (layer_.scores_first_) {
        LoadKeysAndValues(step);
      } else {
        MultiplyKeysAndValues(step);
      }
    }
    for (int64_t first = 0; first < layer_.tokens_; first += kTokens) {
      const int64_t count = std::min(kTokens, layer_.tokens_ - first);
      products_.Clear();
      for (int64_t step = 0; step < layer_.steps_; ++step) MultiplyQueries(step, first, count);
      Fire(first, count);
    }
  }

 private:
  // The head's codes of a step's first token.
  uint8_t* Codes(const Tokens& tokens, int64_t step) const {
    return tokens.First(workspace_, frame_, step) + head_ * layer_.channels_;
  }

  // matrix: [count, head's channels] of the tokens from `first` on. May read the kReadAhead bytes behind the tensor.
  void LoadTokens(const Tokens& tokens, int64_t step, int64_t first, int64_t count, Matrix<Real>& matrix) const {
    const uint8_t* codes = Codes(tokens, step);
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* from = codes + tokens.offsets[first + i];
      for (int64_t lane = 0; lane < matrix.columns; lane += kLanes) {
        Real* to = matrix.Row(i) + lane;
        for (int c = 0; c < kLanes; ++c) to[c] = from[lane + c];
      }
    }
  }

  void LoadKeysAndValues(int64_t step) {
    LoadTokens(layer_.value_, step, 0, layer_.tokens_, right_[step]);
    const uint8_t* codes = Codes(layer_.key_, step);
    for (int64_t token = 0; token < layer_.tokens_; ++token) {
      for (int64_t c = 0; c < layer_.channels_; ++c) {
        keys_[step].Row(c)[token] = codes[layer_.key_.offsets[token] + c];
      }
    }
  }

  void MultiplyKeysAndValues(int64_t step) {
    right_[step].Clear();
    for (int64_t first = 0; first < layer_.tokens_; first += kTokens) {
      const int64_t count = std::min(kTokens, layer_.tokens_ - first);
      LoadTokens(layer_.key_, step, first, count, keys_[0]);
      LoadTokens(layer_.value_, step, first, count, values_);
      MultiplyAdd<Real>({keys_[0].Row(0), 1, keys_[0].columns}, layer_.channels_, count, values_, right_[step].Row(0),
                        right_[step].columns);
    }
  }

  // Adds the products of `count` tokens from `first` on to zeros.
  void MultiplyQueries(int64_t step, int64_t first, int64_t count) {
    LoadTokens(layer_.query_, step, first, count, queries_);
    Left<Real> left{queries_.Row(0), queries_.columns, 1};
    int64_t inner = layer_.channels_;
    if (layer_.scores_first_) {
      scores_.Clear();
      MultiplyAdd(left, count, inner, keys_[step], scores_.Row(0), scores_.columns);
      left = {scores_.Row(0), scores_.columns, 1};
      inner = layer_.tokens_;
    }
    MultiplyAdd(left, count, inner, right_[step], products_.Row(step), layer_.steps_ * products_.columns);
  }

  void Fire(int64_t first, int64_t count) {
    uint8_t* outputs[kTokens];
    uint8_t* output = Codes(layer_.output_, 0);
    for (int64_t i = 0; i < count; ++i) outputs[i] = output + layer_.output_.offsets[first + i];
    const int64_t output_step = layer_.output_.tensor.StepBytes();
    if constexpr (std::is_same_v<Sum, int32_t>) {
      const int64_t panels = layer_.panels_.size() / layer_.heads_;
      for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t channel = panel * kMaxLanes;
        const int64_t lanes = std::min<int64_t>(kMaxLanes, products_.columns - channel);
        ConvertProducts(channel, lanes, count);
        layer_.panels_[head_ * panels + panel].Integrate(
            {sums_.data(), static_cast<int>(count), static_cast<int>(layer_.steps_), outputs, output_step, nullptr, 0});
        for (int64_t i = 0; i < count; ++i) outputs[i] += lanes;
      }
    } else {
      const int64_t lanes = products_.columns;
      ConvertProducts(0, lanes, count);
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t c = 0; c < layer_.channels_; ++c) {
          IntegrateOne(layer_.rule_, layer_.rules_[head_ * layer_.channels_ + c],
                       sums_.data() + i * layer_.steps_ * lanes + c, lanes, nullptr, 0, outputs[i] + c, output_step);
        }
      }
    }
  }

  // sums: [count][steps][lanes] of `lanes` channels.
  void ConvertProducts(int64_t channel, int64_t lanes, int64_t count) {
    for (int64_t row = 0; row < count * layer_.steps_; ++row) {
      const Real* from = products_.Row(row) + channel;
      for (int64_t c = 0; c < lanes; ++c) sums_[row * lanes + c] = static_cast<Sum>(from[c]);
    }
  }

  const Attention& layer_;
  Workspace& workspace_;
  int64_t frame_ = 0, head_ = 0;
  Matrix<Real> queries_;             // [kTokens, channels]
  Matrix<Real> values_;              // [kTokens, channels], of K^T V
  std::vector<Matrix<Real>> keys_;   // of each step [channels, tokens], or one block [kTokens, channels]
  std::vector<Matrix<Real>> right_;  // of each step V [tokens, channels], or K^T V [channels, channels]
  Matrix<Real> scores_;              // [kTokens, tokens]
  Matrix<Real> products_;            // [kTokens * steps, channels]
  std::vector<Sum> sums_;
};

}  // namespace

std::unique_ptr<Layer> MakeAttention(const AttentionSpec& spec, const std::vector<Tensor>& tensors) {
  const Tensor &query = tensors[spec.query], &key = tensors[spec.key], &value = tensors[spec.value];
  // Q K^T and K^T V are no larger: they lack a factor of at least one.
  const int64_t largest =
      query.channels / spec.heads * query.height * query.width * query.s_max * key.s_max * value.s_max;
  if (largest <= kExactFloat) return std::make_unique<Attention<float, int32_t>>(spec, tensors, largest);
  if (largest <= INT32_MAX) return std::make_unique<Attention<double, int32_t>>(spec, tensors, largest);
  return std::make_unique<Attention<double, int64_t>>(spec, tensors, largest);
}

}  // namespace qsnn
