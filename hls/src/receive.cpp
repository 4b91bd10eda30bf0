#include "stages.hpp"

// Frame stream -> activation memory: for each word address, one beat for each bank. TLAST is the DMA's business: the
// instruction's word count says where the frame ends. II = 1: one beat read, one bank written a cycle.
void receive(const Instruction& d, hls::stream<axis_word>& frames, ActivationMemory activations,
             uint32_t& stored_words) {
  HLS(INLINE off)
receive_words:
  for (int i = 0; i < int(d.receive_words); ++i) {
    HLS(LOOP_TRIPCOUNT min = 4 max = 32768 avg = 4096)
    PIPELINE(1);
    activations[i & (kBanks - 1)][int(d.output_base) + i / kBanks] = frames.read().data;
  }
  stored_words = d.receive_words;
}
