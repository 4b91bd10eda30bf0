// Only wires.
#include "top.hpp"

#include "stages.hpp"

// The activation memory is a dual-port URAM outside the kernel (overlays/kv260/build.tcl): as two array arguments,
// one only read and one only written, it is legal in a dataflow region, where an internal array shared by two stages is
// not. g++ passes the same memory twice.
void qsnn_top(hls::stream<axis_word>& frames, hls::stream<axis_word>& results, const word_t* program,
              const word_t* weights, word_t* log, const ActivationMemory activations_read,
              ActivationMemory activations_write, const volatile uint64_t* now, uint32_t num_instructions,
              uint32_t num_frames, uint32_t weight_words, uint32_t log_entries, uint64_t* fingerprint,
              volatile uint32_t* status, uint32_t* log_count) {
  HLS(INTERFACE axis port = frames register_mode = both)
  HLS(INTERFACE axis port = results register_mode = both)
  HLS(INTERFACE m_axi port = program offset = slave bundle = gmem_program depth =
          kCosimProgramWords max_read_burst_length = 16 num_read_outstanding = 2 latency = 64)
  HLS(INTERFACE m_axi port = weights offset = slave bundle = gmem_weights depth =
          kCosimWeightWords max_read_burst_length = 256 num_read_outstanding = 8 latency = 64)
  HLS(INTERFACE m_axi port = log offset = slave bundle = gmem_log depth = kCosimLogWords max_write_burst_length =
          16 num_write_outstanding = 2 latency = 64)
  HLS(INTERFACE ap_memory port = activations_read storage_type = ram_1p latency = 3)
  HLS(INTERFACE ap_memory port = activations_write storage_type = ram_1p latency = 1)
  HLS(ARRAY_PARTITION variable = activations_read complete dim = 1)
  HLS(ARRAY_PARTITION variable = activations_write complete dim = 1)
  HLS(INTERFACE ap_none port = now)
  HLS(INTERFACE s_axilite port = program bundle = control)
  HLS(INTERFACE s_axilite port = weights bundle = control)
  HLS(INTERFACE s_axilite port = log bundle = control)
  HLS(INTERFACE s_axilite port = num_instructions bundle = control)
  HLS(INTERFACE s_axilite port = num_frames bundle = control)
  HLS(INTERFACE s_axilite port = weight_words bundle = control)
  HLS(INTERFACE s_axilite port = log_entries bundle = control)
  HLS(INTERFACE s_axilite port = fingerprint bundle = control)
  HLS(INTERFACE s_axilite port = status bundle = control)
  HLS(INTERFACE s_axilite port = log_count bundle = control)
  HLS(INTERFACE s_axilite port = return bundle = control)

  REGION(qsnn_top);
  STREAM(WeightRequest, read_requests, kCommandDepth);
  STREAM(WeightRequest, unpack_requests, kCommandDepth);
  STREAM(Command, commands, kCommandDepth);
  STREAM(word_t, weight_stream, kWeightWordDepth);
  STREAM(word_t, parameters, kParameterDepth);
  STREAM(WeightBeat, weight_beats, kPrefetchDepth);
  STREAM(LogEntry, entries, kLogDepth);
  HLS(BIND_STORAGE variable = parameters type = fifo impl = bram)
  HLS(BIND_STORAGE variable = weight_beats type = fifo impl = uram)

  STAGE(fetch(program, num_instructions, num_frames, weight_words, fingerprint, read_requests, unpack_requests,
              commands));
  STAGE(read_weights(weights, read_requests, weight_stream));
  STAGE(unpack_weights(unpack_requests, weight_stream, parameters, weight_beats));
  STAGE(execute(commands, parameters, weight_beats, frames, results, activations_read, activations_write, now, entries,
                status));
  STAGE(write_log(entries, log, log_entries, log_count));
  REGION_END;
}
