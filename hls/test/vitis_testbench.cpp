// Test bench for csim_design and cosim_design: stages run one after the other, streams are the tool's own.
//
// Each call runs one instruction. The two ports of a memory outside the kernel are two arrays to co-simulation. The
// activation memory's written array is copied into the read one between calls, which is what the dual-port memory of
// the board does. The weight ring is written and read in the same call: its read array holds what the call must write,
// and the written one is compared with it afterwards.
#include <cstdio>
#include <cstring>

#include "programs.hpp"
#include "top.hpp"

namespace {

ActivationMemory activations_read, activations_write;
WeightRing ring_read, ring_write;
word_t program[kCosimProgramWords], time_log[kCosimLogWords], spill[kCosimSpillWords];
word_t weights_even[kCosimWeightPairs], weights_odd[kCosimWeightPairs];

// The tiles of bench::small_weights: ones where output lane and input lane are the same, for the head in every other
// tile.
void expect_tiles(const Instruction& d) {
  for (int beat = 0; beat < tile_beats(d); ++beat) {
    const bool ones = !d.head || beat / kTileBeats % 2 == 0;
    for (int row = 0; row < kBeatRows; ++row) {
      for (int lane = 0; lane < kInputLanes; ++lane) {
        const bool same = beat % kTileBeats * kBeatRows + row == lane;
        ring_read[beat].weight[row][lane] = ones && same;
      }
    }
  }
}

// Errors of a call of one instruction.
int run_instruction(const Instruction& d, uint32_t weight_pairs, hls::stream<axis_word>& frames,
                    hls::stream<axis_word>& results) {
  constexpr int kHeaderWords = hw::program_header::kWords;
  const bench::header_bits header = bench::program_header(1);
  for (int i = 0; i < kHeaderWords; ++i) program[i] = header.range(128 * i + 127, 128 * i);
  const instruction_bits bits = bench::encode(d);
  for (int i = 0; i < kInstructionWords; ++i) program[kHeaderWords + i] = bits.range(128 * i + 127, 128 * i);
  const int beats = d.opcode == hw::opcode::kConvolve ? tile_beats(d) : 0;
  if (beats) expect_tiles(d);
  const volatile uint64_t now = 7;
  uint64_t fingerprint = 0;
  volatile uint32_t status = 0;
  uint32_t log_count = 0;
  qsnn_top(frames, results, program, weights_even, weights_odd, spill, time_log, activations_read, activations_write,
           ring_read, ring_write, &now, 1, 1, weight_pairs, kCosimSpillWords, 1, &fingerprint, &status, &log_count);
  std::memcpy(static_cast<void*>(activations_read), static_cast<const void*>(activations_write),
              sizeof activations_read);
  return (status != uint32_t(hw::status::kOk)) + (fingerprint != hw::kFingerprint) + (log_count != 1) +
         (std::memcmp(ring_read, ring_write, beats * sizeof(WeightBeat)) != 0);
}

}  // namespace

int main() {
  const int first = 9;
  hls::stream<axis_word> frames("frames"), results("results");
  for (int beat = 0; beat < 2 * kBanks; ++beat) {
    axis_word word;
    for (int c = 0; c < kInputLanes; ++c) word.data.range(8 * c + 7, 8 * c) = bench::frame_code(first, beat, c);
    word.keep = -1;
    word.strb = -1;
    word.last = beat == 2 * kBanks - 1;
    frames.write(word);
  }
  const std::vector<word_t> packed = bench::small_weights();
  const uint32_t pairs = uint32_t(packed.size() / 2);
  for (uint32_t i = 0; i < pairs; ++i) {
    weights_even[i] = packed[2 * i];
    weights_odd[i] = packed[2 * i + 1];
  }
  int errors = 0;
  std::vector<Instruction> instructions = bench::small_network();
  instructions[0].spilled = 1;  // so that the frame passes every kind of transfer
  instructions[0].spill_offset = 3;
  instructions.insert(instructions.begin() + 1, bench::transfer(hw::opcode::kLoad, 8, 0, 3));
  instructions.insert(instructions.begin() + 2, bench::transfer(hw::opcode::kSave, 8, 0, 20));
  instructions.insert(instructions.begin() + 3, bench::transfer(hw::opcode::kLoad, 8, 0, 20));
  for (const Instruction& d : instructions) errors += run_instruction(d, pairs, frames, results);
  const int beats = bench::divide_up(bench::kClasses, 4);
  for (int beat = 0; beat < beats; ++beat) {
    const axis_word word = results.read();
    errors += word.last != (beat == beats - 1);
    for (int i = 0; i < 4; ++i) {
      const int32_t found = int32_t(word.data.range(32 * i + 31, 32 * i).to_uint());
      errors += found != bench::expected_logit(first, beat * 4 + i);
    }
  }
  std::printf("%d errors\n", errors);
  return errors ? 1 : 0;
}
