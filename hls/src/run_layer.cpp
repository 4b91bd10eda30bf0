#include "stages.hpp"

// One CONVOLVE. The region is started for each execution and ends when its last word is stored: canonical dataflow
// without feedback, so no layer can read what the one before has not yet written, and C/RTL co-simulation stays
// possible. The price is one pipeline drain a layer; the tiles of the next layers keep arriving in the ring meanwhile.
void run_layer(const Command c, hls::stream<word_t>& parameters, const WeightRing ring_read,
               hls::stream<TileToken>& arrivals, hls::stream<TileToken>& occupancy, hls::stream<axis_word>& results,
               const ActivationMemory activations_read, ActivationMemory activations_write, uint32_t& stored_words) {
  REGION(run_layer);
  STREAM(Operand, operands, kOperandDepth);
  STREAM(WeightBeat, held_weights, kHeldWeightDepth);
  STREAM(PartialSum, partial_sums, kPartialSumDepth);
  STREAM_OF_PARTS(NarrowSum, narrow_sums, kPartialSumDepth);
  STREAM(SpikeCount, spike_counts, kPartialSumDepth);
  STREAM(Residual, current_residuals, kResidualDepth);
  STREAM(Residual, spike_residuals, kResidualDepth);
  STREAM(Fired, fired, kFiredDepth);
  STREAM(Logits, logits, kLogitsDepth);
  HLS(BIND_STORAGE variable = operands type = fifo impl = lutram)
  HLS(BIND_STORAGE variable = held_weights type = fifo impl = lutram)
  HLS(BIND_STORAGE variable = partial_sums type = fifo impl = lutram)
  HLS(BIND_STORAGE variable = narrow_sums type = fifo impl = lutram)
  HLS(BIND_STORAGE variable = spike_counts type = fifo impl = lutram)
  HLS(BIND_STORAGE variable = current_residuals type = fifo impl = lutram)
  HLS(BIND_STORAGE variable = spike_residuals type = fifo impl = lutram)

  STAGE(feed(c, activations_read, operands, current_residuals, spike_residuals));
  STAGE(hold_weights(c, ring_read, arrivals, occupancy, held_weights));
  STAGE(accumulate(c, operands, held_weights, partial_sums, narrow_sums, spike_counts));
  STAGE(integrate(c, parameters, partial_sums, narrow_sums, spike_counts, current_residuals, fired, logits));
  STAGE(store(c, fired, logits, spike_residuals, activations_write, results, stored_words));
  REGION_END;
}
