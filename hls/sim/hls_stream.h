// hls::stream for g++: named, bounded, blocking read and write (Vitis HLS brings its own). A stream without a depth
// holds two tokens, as in a Vitis dataflow region.
//
// Timed bounded dataflow: a token can be read `latency` after the iteration that wrote it began, because the stage's
// pipeline lies between; a writer waits until the slot is free at that later moment, because up to then the pipeline
// itself holds the token. A stream with the host at one end has a DMA there, which moves a word when its port does.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "simulation.hpp"

namespace hls {

template <typename T, int DEPTH = 0>
class stream;

template <typename T>
class stream<T, 0> : public sim::Channel {
 public:
  stream() : stream("unnamed") {}
  explicit stream(const char* name) : stream(name, 2) {}
  stream(const char* name, size_t depth) : Channel(name, depth) {}
  // A stream with the host at one end, without bound.
  stream(sim::Simulation& owner, const char* name) : Channel(owner, name) {}

  void write(const T& value) {
    if (depth_) {
      if (fill_ == depth_) wait_for_slot();
      if (tokens_.size() < depth_) tokens_.resize(depth_);
      const uint64_t freed = tokens_[tail()].freed;
      if (owner_->clock + latency_ < freed + 1) wait_until(freed + 1 - latency_, sim::Wait::kRoom);
      push(value, owner_->clock + latency_);
    } else {
      dma_->give_to_dma();
      push(value, owner_->clock);
    }
    wake_reader();
  }

  T read() {
    if (fill_ == 0) wait_for_token();
    if (dma_) dma_->take_from_dma(fill_);
    Token& token = tokens_[head_];
    if (owner_->clock < token.ready) wait_until(token.ready, sim::Wait::kToken);
    token.freed = owner_->clock;
    T value = token.value;
    pop();
    wake_writer();
    return value;
  }
  void read(T& value) { value = read(); }

  // For the host, outside of any stage.
  void host_write(const T& value) {
    push(value, 0);
    wake_reader();
  }
  bool host_read(T& value) {
    if (fill_ == 0) return false;
    value = tokens_[head_].value;
    pop();
    return true;
  }
  size_t host_size() const { return fill_; }
  void host_clear() {
    head_ = fill_ = 0;
    reader_ = writer_ = nullptr;
  }

 private:
  struct Token {
    T value;
    uint64_t ready = 0;
    uint64_t freed = 0;
  };
  size_t tail() const {
    const size_t index = head_ + fill_;
    return index < tokens_.size() ? index : index - tokens_.size();
  }
  void push(const T& value, uint64_t ready) {
    if (fill_ == tokens_.size()) grow();
    Token& token = tokens_[tail()];
    token.value = value;
    token.ready = ready;
    ++fill_;
  }
  void pop() {
    if (++head_ == tokens_.size()) head_ = 0;
    --fill_;
  }
  void grow() {
    std::vector<Token> larger(tokens_.empty() ? 16 : 2 * tokens_.size());
    for (size_t i = 0; i < fill_; ++i) larger[i] = tokens_[(head_ + i) % tokens_.size()];
    tokens_ = std::move(larger);
    head_ = 0;
  }

  std::vector<Token> tokens_;
  size_t head_ = 0;
};

template <typename T, int DEPTH>
class stream : public stream<T, 0> {
 public:
  stream() : stream("unnamed") {}
  explicit stream(const char* name) : hls::stream<T, 0>(name, DEPTH) {}
};

}  // namespace hls
