// A call of the simulated kernel: its memory and arguments.
#pragma once

#include "instance.hpp"
#include "programs.hpp"

namespace bench {

// How a call goes through its frames.
struct Order {
  uint32_t split;
  int group_frames;
  bool weights_stay;
};

// Host memory of a call, and its arguments.
struct Call {
  // weights: words of both planes in turn.  order: by default every instruction once a frame.
  Call(std::vector<Instruction> instructions, std::vector<word_t> weights, int frames, uint32_t spill_words = 0)
      : Call(instructions, weights, frames, Order{uint32_t(instructions.size()), 1, false}, spill_words) {}

  Call(std::vector<Instruction> instructions, std::vector<word_t> weights, int frames, Order order,
       uint32_t spill_words = 0) {
    const header_bits header = program_header(order.split, order.group_frames, order.weights_stay);
    append_words(header, hw::program_header::kWords);
    for (const Instruction& d : instructions) append_words(encode(d), kInstructionWords);
    const uint64_t even_at = memory.size();
    for (size_t i = 0; i < weights.size(); i += 2) memory.push_back(weights[i]);
    const uint64_t odd_at = memory.size();
    for (size_t i = 1; i < weights.size(); i += 2) memory.push_back(weights[i]);
    spill_at = memory.size();
    memory.resize(memory.size() + spill_words, word_t(0));
    log_at = memory.size();
    const uint32_t entries = uint32_t(frames * instructions.size());
    memory.resize(memory.size() + entries, word_t(0));
    arguments = {reinterpret_cast<uint8_t*>(memory.data()),
                 memory.size() * 16,
                 0,
                 even_at * 16,
                 odd_at * 16,
                 spill_at * 16,
                 log_at * 16,
                 uint32_t(instructions.size()),
                 uint32_t(frames),
                 uint32_t(weights.size() / 2),
                 spill_words,
                 entries};
  }

  std::vector<word_t> memory;
  size_t spill_at, log_at;
  qsnn_arguments arguments;

 private:
  template <typename Bits>
  void append_words(const Bits& bits, int words) {
    for (int i = 0; i < words; ++i) memory.push_back(bits.range(128 * i + 127, 128 * i));
  }
};

}  // namespace bench
