#include "stages.hpp"

// Weight tiles that fit the buffer are read from memory once a frame and replayed for every further block of pixels;
// larger layers stream their tiles once a block. 40 URAM: 8 wide (512 of 576 bits) x 5 deep.
//
// II = 1: in each iteration the buffer is either written or read, never both; an address is read one pass after it was
// written.
void hold_weights(const Instruction d, hls::stream<WeightBeat>& weights, hls::stream<WeightBeat>& held) {
  KERNEL_STATIC WeightBeat buffer[hw::kWeightBufferWords];
  HLS(AGGREGATE variable = buffer compact = bit)
  HLS(BIND_STORAGE variable = buffer type = ram_2p impl = uram)

  const int beats = taps_of(d) * int(d.output_tiles) * kTileBeats;
  const bool resident = d.weight_resident;
pass_tiles:
  for (int block = 0; block < int(d.blocks); ++block) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 128 avg = 32)
  pass_beats:
    for (int beat = 0; beat < beats; ++beat) {
      HLS(LOOP_TRIPCOUNT min = 8 max = 40000 avg = 2000)
      PIPELINE(1);
      HLS(DEPENDENCE variable = buffer type = inter dependent = false)
      WeightBeat tile_beat;
      if (resident && block > 0) {
        tile_beat = buffer[beat];
      } else {
        tile_beat = weights.read();
        if (resident) buffer[beat] = tile_beat;
      }
      held.write(tile_beat);
    }
  }
}
