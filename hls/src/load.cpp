#include "stages.hpp"

// Spill memory -> activation memory, in the word order of the frame stream. What an earlier SAVE or RECEIVE wrote is
// there: their functions return behind the response to their last write. II = 1: one bus word read, one bank written a
// cycle, in bursts.
void load(const Instruction& d, const word_t* spill, ActivationMemory activations, uint32_t& stored_words) {
  HLS(INLINE off)
  const int words = d.transfer_words;
  const uint32_t offset = uint32_t(d.spill_offset);
  READ_BURST(spill, words);
load_words:
  for (int i = 0; i < words; ++i) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 49152 avg = 8192)
    PIPELINE(1);
    BEAT;
    activations[i & (kBanks - 1)][int(d.output_base) + i / kBanks] = spill[offset + uint32_t(i)];
  }
  stored_words = words;
}
