#include "stages.hpp"

// Frame stream -> activation memory, for each word address one beat for each bank, or -> spill memory. TLAST is the
// DMA's business: the instruction's word count says where the frame ends. II = 1: one beat read, one bank or one bus
// word written a cycle. Two loops, because the tool makes bursts of a loop that does nothing else.
void receive(const Instruction& d, hls::stream<axis_word>& frames, ActivationMemory activations, word_t* spill,
             uint32_t& stored_words) {
  HLS(INLINE off)
  const int words = d.transfer_words;
  if (d.spilled) {
    const uint32_t offset = uint32_t(d.spill_offset);
    WRITE_BURST(spill, words);
  spill_words:
    for (int i = 0; i < words; ++i) {
      HLS(LOOP_TRIPCOUNT min = 4 max = 1000000 avg = 100000)
      PIPELINE(1);
      BEAT;
      spill[offset + uint32_t(i)] = frames.read().data;
    }
  } else {
  receive_words:
    for (int i = 0; i < words; ++i) {
      HLS(LOOP_TRIPCOUNT min = 4 max = 49152 avg = 4096)
      PIPELINE(1);
      activations[i & (kBanks - 1)][int(d.output_base) + i / kBanks] = frames.read().data;
    }
  }
  stored_words = words;
}
