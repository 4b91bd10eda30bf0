// Test bench for csim_design and cosim_design: stages run one after the other, streams are the tool's own.
//
// Each call runs one instruction. The kernel's read and write port of the activation memory are two arrays to
// co-simulation; copying one into the other between calls is what the dual-port memory of the board does.
#include <cstdio>
#include <cstring>

#include "programs.hpp"
#include "top.hpp"

namespace {

ActivationMemory activations_read, activations_write;
word_t program[kCosimProgramWords], weights[kCosimWeightWords], time_log[kCosimLogWords];

// Status register of a call of one instruction.
uint32_t run_instruction(const Instruction& d, uint32_t weight_words, hls::stream<axis_word>& frames,
                         hls::stream<axis_word>& results) {
  program[0] = bench::program_header();
  const instruction_bits bits = bench::encode(d);
  for (int i = 0; i < kInstructionWords; ++i) program[1 + i] = bits.range(128 * i + 127, 128 * i);
  const volatile uint64_t now = 7;
  uint64_t fingerprint = 0;
  volatile uint32_t status = 0;
  uint32_t log_count = 0;
  qsnn_top(frames, results, program, weights, time_log, activations_read, activations_write, &now, 1, 1, weight_words,
           1, &fingerprint, &status, &log_count);
  std::memcpy(static_cast<void*>(activations_read), static_cast<const void*>(activations_write),
              sizeof activations_read);
  if (fingerprint != hw::kFingerprint || log_count != 1) return hw::status::kRunning;
  return status;
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
  for (size_t i = 0; i < packed.size(); ++i) weights[i] = packed[i];
  int errors = 0;
  for (const Instruction& d : bench::small_network()) {
    errors += run_instruction(d, uint32_t(packed.size()), frames, results) != uint32_t(hw::status::kOk);
  }
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
  return errors != 0;
}
