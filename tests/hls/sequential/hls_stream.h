// An unbounded stream without time, as the C simulation of Vitis HLS has: for running the stages one after the other.
#pragma once

#include <deque>
#include <stdexcept>

namespace hls {

template <typename T>
class stream {
 public:
  stream() {}
  explicit stream(const char*) {}
  stream(const stream&) = delete;
  void write(const T& value) { tokens_.push_back(value); }
  T read() {
    if (tokens_.empty()) throw std::runtime_error("read from an empty stream");
    const T value = tokens_.front();
    tokens_.pop_front();
    return value;
  }

 private:
  std::deque<T> tokens_;
};

}  // namespace hls
