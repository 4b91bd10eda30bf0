// The network as Python sees it: built layer by layer, run on a batch of frames.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>

#include "layers.h"

namespace qsnn {
namespace {

constexpr int64_t kChunkBytes = 512 << 10;  // tensors of the frames in flight of one thread: half of a usual L2
constexpr int64_t kMaxChunk = 16;

// A thread's place among those that share a workspace.
struct Member {
  int64_t rank, size;

  template <typename Work>
  void Share(int64_t items, const Work& work) const {
    work(items * rank / size, items * (rank + 1) / size);
    if (size > 1) {
#pragma omp barrier
    }
  }
};

class Engine {
 public:
  explicit Engine(std::vector<Tensor> tensors) : tensors_(std::move(tensors)) {
    int64_t frame_bytes = 0;
    for (const Tensor& tensor : tensors_) frame_bytes += tensor.FrameBytes();
    chunk_ = std::clamp<int64_t>(kChunkBytes / frame_bytes, 1, kMaxChunk);
  }

  void AddConvolution(const ConvolutionSpec& spec) {
    layers_.push_back(MakeConvolution(spec, tensors_));
    if (spec.output < 0) classes_ = spec.channels;
  }
  void AddPool(const PoolSpec& spec) { layers_.push_back(MakePool(spec, tensors_)); }
  void AddAttention(const AttentionSpec& spec) { layers_.push_back(MakeAttention(spec, tensors_)); }
  void AddSteps(int64_t source, int64_t output) { layers_.push_back(MakeSteps(source, output, tensors_)); }
  void AddFlatten(int64_t source, int64_t output) { layers_.push_back(MakeFlatten(source, output, tensors_)); }

  void Run(const uint8_t* frames, int64_t count, int threads, int32_t* logits, uint8_t* const* trains);

 private:
  void RunLayers(Workspace& workspace, const uint8_t* frames, Member member);
  void LoadFrames(Workspace& workspace, const uint8_t* frames, int64_t begin, int64_t end) const;
  void Record(const Workspace& workspace, size_t tensor, int64_t first, int64_t total, uint8_t* train) const;

  std::vector<Tensor> tensors_;  // tensor 0 is the input
  std::vector<std::unique_ptr<Layer>> layers_;
  int64_t classes_ = 0;
  int64_t chunk_;  // frames that a thread takes through all layers at once
  std::vector<Workspace> workspaces_;
  std::mutex mutex_;                     // the workspaces belong to one run at a time
  std::atomic<bool> exhausted_ = false;  // a layer of this run found no memory
};

// Many frames: each thread takes chunks through all layers, so that its tensors stay in its cache. Few frames: all
// threads share every layer of the same frames.
void Engine::Run(const uint8_t* frames, int64_t count, int threads, int32_t* logits, uint8_t* const* trains) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool alone = threads == 1 || count >= 2 * threads;
  const int64_t chunk = std::min(chunk_, alone ? (count + threads - 1) / threads : count);
  const int64_t chunks = (count + chunk - 1) / chunk;
  const Tensor& input = tensors_[0];
  const int64_t codes = input.steps * input.channels * input.height * input.width;
  workspaces_.resize(std::max<size_t>(workspaces_.size(), alone ? threads : 1));
  for (Workspace& workspace : workspaces_) workspace.Reserve(tensors_, chunk);
  const auto begin = [&](Workspace& workspace, int64_t first) {
    workspace.frames = std::min(chunk, count - first);
    workspace.logits = logits + first * classes_;
    return frames + first * codes;
  };
  const auto finish = [&](const Workspace& workspace, int64_t first) {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (trains != nullptr && trains[i] != nullptr) Record(workspace, i, first, count, trains[i]);
    }
  };
  exhausted_ = false;
  if (alone) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < chunks; ++i) {
      Workspace& workspace = workspaces_[omp_get_thread_num()];
      RunLayers(workspace, begin(workspace, i * chunk), {0, 1});
      finish(workspace, i * chunk);
    }
  } else {
    for (int64_t first = 0; first < count; first += chunk) {
      const uint8_t* frame = begin(workspaces_[0], first);
#pragma omp parallel num_threads(threads)
      RunLayers(workspaces_[0], frame, {omp_get_thread_num(), omp_get_num_threads()});
      finish(workspaces_[0], first);
    }
  }
  if (exhausted_) throw std::bad_alloc();
}

void Engine::RunLayers(Workspace& workspace, const uint8_t* frames, Member member) {
  const Tensor& input = tensors_[0];
  member.Share(workspace.frames * input.steps * input.height,
               [&](int64_t begin, int64_t end) { LoadFrames(workspace, frames, begin, end); });
  for (const auto& layer : layers_) {
    member.Share(layer->Items(workspace.frames), [&](int64_t begin, int64_t end) {
      try {
        layer->Run(workspace, begin, end);
      } catch (const std::bad_alloc&) {  // must not leave the parallel region; the other threads wait at its barriers
        exhausted_ = true;
      }
    });
  }
}

// frames: [frames][steps][channels][height][width]; an item is a row of a step.
void Engine::LoadFrames(Workspace& workspace, const uint8_t* frames, int64_t begin, int64_t end) const {
  const Tensor& input = tensors_[0];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t row = item % input.height, train = item / input.height;
    uint8_t* codes = workspace.tensors[0].data() + input.Offset(train / input.steps, train % input.steps, row, 0);
    for (int64_t c = 0; c < input.channels; ++c) {
      const uint8_t* plane = frames + ((train * input.channels + c) * input.height + row) * input.width;
      for (int64_t col = 0; col < input.width; ++col) codes[col * input.channels + c] = plane[col];
    }
  }
}

// train: [steps][total][channels][height][width] of all frames of the run; `first` is this workspace's first frame.
void Engine::Record(const Workspace& workspace, size_t index, int64_t first, int64_t total, uint8_t* train) const {
  const Tensor& tensor = tensors_[index];
  for (int64_t frame = 0; frame < workspace.frames; ++frame) {
    for (int64_t step = 0; step < tensor.steps; ++step) {
      uint8_t* out = train + (step * total + first + frame) * tensor.channels * tensor.height * tensor.width;
      for (int64_t c = 0; c < tensor.channels; ++c) {
        for (int64_t row = 0; row < tensor.height; ++row) {
          const uint8_t* codes = workspace.tensors[index].data() + tensor.Offset(frame, step, row, 0) + c;
          for (int64_t col = 0; col < tensor.width; ++col) *out++ = codes[col * tensor.channels];
        }
      }
    }
  }
}

// Runs `action`, returns 0, or 1 when memory ran out: exceptions must not reach Python's C code.
template <typename Action>
int Guard(const Action& action) {
  try {
    action();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // namespace

void Workspace::Reserve(const std::vector<Tensor>& shapes, int64_t capacity) {
  if (capacity <= capacity_) return;
  tensors.clear();
  capacity_ = 0;
  for (const Tensor& tensor : shapes) tensors.emplace_back(capacity * tensor.FrameBytes() + kReadAhead, 0);
  capacity_ = capacity;
}

}  // namespace qsnn

// Every function returns 0, or 1 when memory ran out.
extern "C" {

using qsnn::Engine;

int qsnn_create(const qsnn::Tensor* tensors, int64_t count, Engine** engine) {
  return qsnn::Guard([&] { *engine = new Engine(std::vector<qsnn::Tensor>(tensors, tensors + count)); });
}

void qsnn_destroy(Engine* engine) { delete engine; }

int qsnn_add_convolution(Engine* engine, const qsnn::ConvolutionSpec* spec) {
  return qsnn::Guard([&] { engine->AddConvolution(*spec); });
}

int qsnn_add_pool(Engine* engine, const qsnn::PoolSpec* spec) {
  return qsnn::Guard([&] { engine->AddPool(*spec); });
}

int qsnn_add_attention(Engine* engine, const qsnn::AttentionSpec* spec) {
  return qsnn::Guard([&] { engine->AddAttention(*spec); });
}

int qsnn_add_steps(Engine* engine, int64_t source, int64_t output) {
  return qsnn::Guard([&] { engine->AddSteps(source, output); });
}

int qsnn_add_flatten(Engine* engine, int64_t source, int64_t output) {
  return qsnn::Guard([&] { engine->AddFlatten(source, output); });
}

// frames: [count][steps][channels][height][width].  logits: [count][classes].  trains: null, or for every tensor null
// or the place for its spike train [steps][count][channels][height][width].
int qsnn_run(Engine* engine, const uint8_t* frames, int64_t count, int64_t threads, int32_t* logits,
             uint8_t* const* trains) {
  return qsnn::Guard([&] { engine->Run(frames, count, static_cast<int>(threads), logits, trains); });
}
}
