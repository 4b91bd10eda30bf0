#include "stages.hpp"

// AXI bursts and nothing else: a loop whose only condition is its count is what the tool turns into long bursts. Runs
// ahead of the layers as far as the streams behind it hold. II = 1: one bus word a cycle.
void read_weights(const word_t* weights, hls::stream<WeightRequest>& requests, hls::stream<word_t>& words) {
  bool running = true;
requests:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 12)
    const WeightRequest request = requests.read();
    running = !request.last;
    BURST_READ;
  read_parameters:
    for (uint32_t i = 0; i < request.parameter_words; ++i) {
      HLS(LOOP_TRIPCOUNT min = 32 max = 2048 avg = 128)
      PIPELINE(1);
      words.write(weights[request.first_word + i]);
    }
    const uint32_t first_tile_word = request.first_word + request.parameter_words;
  passes:
    for (uint32_t pass = 0; pass < request.passes; ++pass) {
      HLS(LOOP_TRIPCOUNT min = 1 max = 256 avg = 4)
      BURST_READ;
    read_tiles:
      for (uint32_t i = 0; i < request.tile_words; ++i) {
        HLS(LOOP_TRIPCOUNT min = 8 max = 100000 avg = 4000)
        PIPELINE(1);
        words.write(weights[first_tile_word + i]);
      }
    }
  }
}
