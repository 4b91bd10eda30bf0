// The kernel's C interface; arguments in the order of KERNEL_ARGUMENTS in pynq_qsnn/hwspec.py, behind the streams and
// with the ports of the memories outside between addresses and numbers.
#pragma once

#include "types.hpp"

// Words that co-simulation copies for each memory port; the board has no such limit.
constexpr int kCosimProgramWords = 512;
constexpr int kCosimWeightPairs = 4096;
constexpr int kCosimSpillWords = 4096;
constexpr int kCosimLogWords = 512;

void qsnn_top(hls::stream<axis_word>& frames, hls::stream<axis_word>& results, const word_t* program,
              const word_t* weights_even, const word_t* weights_odd, word_t* spill, word_t* log,
              const ActivationMemory activations_read, ActivationMemory activations_write, const WeightRing ring_read,
              WeightRing ring_write, const volatile uint64_t* now, uint32_t num_instructions, uint32_t num_frames,
              uint32_t weight_pairs, uint32_t spill_words, uint32_t log_entries, uint64_t* fingerprint,
              volatile uint32_t* status, uint32_t* log_count);
