// A call of the simulated kernel: its memory and arguments.
#pragma once

#include "instance.hpp"
#include "programs.hpp"

namespace bench {

// Host memory of a call, and its arguments.
struct Call {
  Call(std::vector<Instruction> instructions, std::vector<word_t> weights, int frames) {
    memory.push_back(program_header());
    for (const Instruction& d : instructions) {
      const instruction_bits bits = encode(d);
      for (int i = 0; i < kInstructionWords; ++i) memory.push_back(bits.range(128 * i + 127, 128 * i));
    }
    const uint64_t weights_at = memory.size() * 16;
    memory.insert(memory.end(), weights.begin(), weights.end());
    log_at = memory.size();
    const uint32_t entries = uint32_t(frames * instructions.size());
    memory.resize(memory.size() + entries, word_t(0));
    arguments = {reinterpret_cast<uint8_t*>(memory.data()),
                 memory.size() * 16,
                 0,
                 weights_at,
                 log_at * 16,
                 uint32_t(instructions.size()),
                 uint32_t(frames),
                 uint32_t(weights.size()),
                 entries};
  }
  std::vector<word_t> memory;
  size_t log_at;
  qsnn_arguments arguments;
};

}  // namespace bench
