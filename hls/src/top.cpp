// Only wires.
#include "top.hpp"

#include "stages.hpp"

// Activation memory and weight ring are dual-port URAM outside the kernel (overlays/kv260/build.tcl): each as two array
// arguments, one only read and one only written, is legal in a dataflow region, where an internal array shared by two
// stages is not. g++ passes the same memory twice. Each plane of the weight memory has a port of its own, so that both
// are read at the full width of the bus; `spill` belongs to `execute` alone, which runs one instruction at a time.
void qsnn_top(hls::stream<axis_word>& frames, hls::stream<axis_word>& results, const word_t* program,
              const word_t* weights_even, const word_t* weights_odd, word_t* spill, word_t* log,
              const ActivationMemory activations_read, ActivationMemory activations_write, const WeightRing ring_read,
              WeightRing ring_write, const volatile uint64_t* now, uint32_t num_instructions, uint32_t num_frames,
              uint32_t weight_pairs, uint32_t spill_words, uint32_t log_entries, uint64_t* fingerprint,
              volatile uint32_t* status, uint32_t* log_count) {
  HLS(INTERFACE axis port = frames register_mode = both)
  HLS(INTERFACE axis port = results register_mode = both)
  HLS(INTERFACE m_axi port = program offset = slave bundle = gmem_program depth =
          kCosimProgramWords max_read_burst_length = 16 num_read_outstanding = 2 latency = 64)
  HLS(INTERFACE m_axi port = weights_even offset = slave bundle = gmem_weights_even depth =
          kCosimWeightPairs max_read_burst_length = 256 num_read_outstanding = 8 latency = 64)
  HLS(INTERFACE m_axi port = weights_odd offset = slave bundle = gmem_weights_odd depth =
          kCosimWeightPairs max_read_burst_length = 256 num_read_outstanding = 8 latency = 64)
  HLS(INTERFACE m_axi port = spill offset = slave bundle = gmem_spill depth = kCosimSpillWords max_read_burst_length =
          256 max_write_burst_length = 256 num_read_outstanding = 4 num_write_outstanding = 4 latency = 64)
  HLS(INTERFACE m_axi port = log offset = slave bundle = gmem_log depth = kCosimLogWords max_write_burst_length =
          16 num_write_outstanding = 2 latency = 64)
  HLS(INTERFACE ap_memory port = activations_read storage_type = ram_1p latency = 3)
  HLS(INTERFACE ap_memory port = activations_write storage_type = ram_1p latency = 1)
  HLS(ARRAY_PARTITION variable = activations_read complete dim = 1)
  HLS(ARRAY_PARTITION variable = activations_write complete dim = 1)
  HLS(INTERFACE ap_memory port = ring_read storage_type = ram_1p latency = 3)
  HLS(INTERFACE ap_memory port = ring_write storage_type = ram_1p latency = 1)
  HLS(AGGREGATE variable = ring_read compact = bit)
  HLS(AGGREGATE variable = ring_write compact = bit)
  HLS(INTERFACE ap_none port = now)
  HLS(INTERFACE s_axilite port = program bundle = control)
  HLS(INTERFACE s_axilite port = weights_even bundle = control)
  HLS(INTERFACE s_axilite port = weights_odd bundle = control)
  HLS(INTERFACE s_axilite port = spill bundle = control)
  HLS(INTERFACE s_axilite port = log bundle = control)
  HLS(INTERFACE s_axilite port = num_instructions bundle = control)
  HLS(INTERFACE s_axilite port = num_frames bundle = control)
  HLS(INTERFACE s_axilite port = weight_pairs bundle = control)
  HLS(INTERFACE s_axilite port = spill_words bundle = control)
  HLS(INTERFACE s_axilite port = log_entries bundle = control)
  HLS(INTERFACE s_axilite port = fingerprint bundle = control)
  HLS(INTERFACE s_axilite port = status bundle = control)
  HLS(INTERFACE s_axilite port = log_count bundle = control)
  HLS(INTERFACE s_axilite port = return bundle = control)

  REGION(qsnn_top);
  STREAM(WeightRequest, even_requests, kCommandDepth);
  STREAM(WeightRequest, odd_requests, kCommandDepth);
  STREAM(WeightRequest, unpack_requests, kCommandDepth);
  STREAM(Command, commands, kCommandDepth);
  STREAM(word_t, even_words, kWeightWordDepth);
  STREAM(word_t, odd_words, kWeightWordDepth);
  STREAM(word_t, parameters, kParameterDepth);
  STREAM(TileToken, occupancy, kTileTokens);
  STREAM(TileToken, arrivals, kTileTokens);
  STREAM(LogEntry, entries, kLogDepth);
  HLS(BIND_STORAGE variable = even_words type = fifo impl = bram)
  HLS(BIND_STORAGE variable = odd_words type = fifo impl = bram)
  HLS(BIND_STORAGE variable = parameters type = fifo impl = bram)
  HLS(BIND_STORAGE variable = occupancy type = fifo impl = bram)
  HLS(BIND_STORAGE variable = arrivals type = fifo impl = bram)

  STAGE(fetch(program, num_instructions, num_frames, weight_pairs, spill_words, fingerprint, even_requests,
              odd_requests, unpack_requests, commands));
  STAGE(read_weights(weights_even, even_requests, even_words));
  STAGE(read_weights(weights_odd, odd_requests, odd_words));
  STAGE(unpack_weights(unpack_requests, even_words, odd_words, parameters, ring_write, occupancy, arrivals));
  STAGE(execute(commands, parameters, ring_read, arrivals, occupancy, frames, results, activations_read,
                activations_write, spill, now, entries, status));
  STAGE(write_log(entries, log, log_entries, log_count));
  REGION_END;
}
