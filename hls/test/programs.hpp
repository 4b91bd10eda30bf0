// A program small enough to check by hand, for the benches of `fetch` and of the whole core.
#pragma once

#include "bench.hpp"
#include "instance.hpp"

namespace bench {

constexpr int kClasses = 5;

inline word_t program_header() {
  using namespace hw::program_header;
  word_t header = 0;
  header.range(kMagicLsb + kMagicBits - 1, kMagicLsb) = hw::kProgramMagic;
  header.range(kVersionLsb + kVersionBits - 1, kVersionLsb) = hw::kSpecVersion;
  header.range(kFingerprintLsb + kFingerprintBits - 1, kFingerprintLsb) = hw::kFingerprint;
  return header;
}

// 2 x 3 map of 8-bit pixels, 16 channels -> 1 x 1 convolution to 4-bit codes -> head over the whole map.
inline std::vector<Instruction> small_network() {
  Instruction receive = empty_instruction();
  receive.opcode = hw::opcode::kReceive;
  receive.receive_words = 2 * kBanks;

  Instruction layer = empty_instruction();
  layer.opcode = hw::opcode::kConvolve;
  set_input(layer, 0, 2, 3, 1, 1, 8);
  set_output(layer, 100, 2, 3, 2, 1, 4);
  set_blocks(layer);
  layer.kernel_height = layer.kernel_width = layer.stride = 1;
  layer.s_max = 15;
  layer.storage_bits = 8;
  layer.weight_resident = 1;
  layer.weight_words = kOutputLanes + kOutputLanes * kInputLanes * 8 / hw::kWordBits;

  Instruction head = empty_instruction();
  head.opcode = hw::opcode::kConvolve;
  head.head = 1;
  set_input(head, 100, 2, 3, 2, 1, 4);
  head.kernel_height = 2;
  head.kernel_width = 3;
  head.stride = head.output_height = head.output_width = head.output_column_groups = head.quadruples = 1;
  head.output_tiles = head.num_steps = 1;
  set_blocks(head);
  head.num_classes = kClasses;
  head.storage_bits = 2;
  head.weight_offset = layer.weight_words;
  head.weight_words = kOutputLanes + 2 * 3 * 2 * kOutputLanes * kInputLanes * 2 / hw::kWordBits;
  return {receive, layer, head};
}

// Layer: channel c copies input channel c (weight 1, one threshold a unit). Head: class k sums codes of channel k < 16.
inline std::vector<word_t> small_weights() {
  using namespace hw::channel_parameters;
  std::vector<word_t> words;
  for (int c = 0; c < kOutputLanes; ++c) {
    word_t p = 0;
    p.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb) = c < kInputLanes ? 1 << 16 : 0;
    words.push_back(p);
  }
  for (int row = 0; row < kOutputLanes; ++row) {
    word_t w = 0;
    if (row < kInputLanes) w.range(8 * row + 7, 8 * row) = 1;
    words.push_back(w);
  }
  for (int c = 0; c < kOutputLanes; ++c) {
    word_t p = 0;
    p.range(kMultiplierLsb + kMultiplierBits - 1, kMultiplierLsb) = c < kClasses ? 1 : 0;
    words.push_back(p);
  }
  for (int tap = 0; tap < 2 * 3 * 2; ++tap) {
    for (int element = 0; element < kOutputLanes * kInputLanes; element += 64) {
      word_t w = 0;
      for (int i = 0; i < 64; ++i) {
        const int row = (element + i) / kInputLanes, lane = (element + i) % kInputLanes;
        if (row == lane && tap % 2 == 0) w.range(2 * i + 1, 2 * i) = 1;
      }
      words.push_back(w);
    }
  }
  return words;
}

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
