#include "stages.hpp"

// One plane of the weight memory: AXI bursts and nothing else. A loop whose only condition is its count is what the
// tool turns into long bursts. Two of these run in step, one a port; each runs ahead of the layers as far as the
// streams and the ring behind it hold. The first pass over the tiles follows the parameters without a gap, as in
// memory.
//
// II = 1: one bus word a cycle.
void read_weights(const word_t* plane, hls::stream<WeightRequest>& requests, hls::stream<word_t>& words) {
  bool running = true;
requests:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 12)
    const WeightRequest request = requests.read();
    running = !request.last;
    uint32_t first = request.first_pair;
    uint32_t count = request.parameter_pairs + request.tile_pairs;
  passes:
    for (uint32_t pass = 0; pass < request.passes; ++pass) {
      HLS(LOOP_TRIPCOUNT min = 1 max = 256 avg = 2)
      READ_BURST(plane, count);
    read_words:
      for (uint32_t i = 0; i < count; ++i) {
        HLS(LOOP_TRIPCOUNT min = 16 max = 100000 avg = 4000)
        PIPELINE(1);
        BEAT;
        words.write(plane[first + i]);
      }
      first = request.first_pair + request.parameter_pairs;
      count = request.tile_pairs;
    }
  }
}
