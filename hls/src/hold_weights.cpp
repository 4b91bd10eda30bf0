#include "stages.hpp"

#include "counters.hpp"
#include "ring.hpp"

// Weight ring -> the array's weight stream, tile after tile in the order of use:
//
//   for block, tile, beat:   await the tile before its first beat; send the beat; give the tile back after its last use
//
// Tiles of a resident layer lie at the same place for every block: awaited in the first, given back in the last. Others
// come anew for each block, at advancing addresses. Where the program's tiles stay for the whole call, `arrive` and
// `leave` are false in all but the first and last execution.
//
// II = 1: the counters are the recurrence. The address depends on the token of arrival, so that the read cannot be
// scheduled before it; a token of occupancy is taken kSettle iterations after the tile's last read (ring.hpp).
void hold_weights(const Command c, const WeightRing ring, hls::stream<TileToken>& arrivals,
                  hls::stream<TileToken>& occupancy, hls::stream<WeightBeat>& held) {
  const Instruction& d = c.instruction;
  const int tiles = passes_of(d) * taps_of(d), blocks = c.blocks;
  const bool resident = d.weight_resident;
  int beat = 0, tile = 0, block = 0, address = c.ring_base;
  unsigned settling = 0;
  bool running = true;
pass_beats:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 8 max = 1000000 avg = 40000)
    PIPELINE(1);
    bool here = true;
    if (beat == 0 && c.tiles_arrive && (block == 0 || !resident)) here = arrivals.read();
    held.write(ring[here ? address : int(c.ring_base)]);
    const bool last_use = beat == kTileBeats - 1 && c.tiles_leave && (block == blocks - 1 || !resident);
    settling = settling << 1 | unsigned(last_use);
    if (settled(settling)) occupancy.read();

    bool carry = true;
    count(beat, kTileBeats, carry);
    count(tile, tiles, carry);
    address = carry && resident ? int(c.ring_base) : next_beat(address);
    count(block, blocks, carry);
    running = !carry;
  }
give_back_last_tiles:
  for (int i = 0; i < kSettle; ++i) {
    PIPELINE(1);
    settling <<= 1;
    if (settled(settling)) occupancy.read();
  }
}
