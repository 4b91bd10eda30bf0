#include "stages.hpp"

// Activation memory -> spill memory, in the word order of the frame stream. II = 1: one bank read, one bus word written
// a cycle, in bursts; the banks' read latency is part of the pipeline.
void save(const Instruction& d, const ActivationMemory activations, word_t* spill, uint32_t& stored_words) {
  HLS(INLINE off)
  const int words = d.transfer_words;
  const uint32_t offset = uint32_t(d.spill_offset);
  WRITE_BURST(spill, words);
save_words:
  for (int i = 0; i < words; ++i) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 49152 avg = 8192)
    PIPELINE(1);
    BEAT;
    spill[offset + uint32_t(i)] = activations[i & (kBanks - 1)][int(d.input_base) + i / kBanks];
  }
  stored_words = words;
}
