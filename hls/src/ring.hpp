// The weight ring: a memory of two ports whose order of access is kept by two streams of tile tokens, see types.hpp.
//
// A token on a stream and an access to a memory in the same iteration have no order that the scheduler must keep, and a
// stalled pipeline can hold them apart for any time. Where a token says that an access is over, it is therefore sent or
// taken kSettle iterations after that access. A pipeline lets no iteration pass another: when iteration i + kSettle is
// in its first stage, iteration i is kSettle stages ahead or out of the pipeline. Memory accesses lie in one of the
// first stages (address and enable come from counters, the data from one stream read and one multiplexer): fewer than
// kSettle. To be compared with the schedule viewer's stage of the access.
#pragma once

#include "hls_macros.hpp"
#include "types.hpp"

constexpr int kSettle = hw::kRingSettle;

// While both stages wait, tiles are written and not yet announced (a tile of one stored beat takes one iteration, so
// one an iteration), or used and not yet given back (a tile is kTileBeats iterations there); one more is the tile that
// unpack_weights has taken room for. A smaller ring would stop both.
static_assert(kTileTokens >= kSettle + (kSettle + kTileBeats - 1) / kTileBeats + 2,
              "the ring holds tiles on their way");

inline bool settled(unsigned settling) {
  HLS(INLINE)
  return (settling >> kSettle) & 1;
}

// From the last of a tile's stored beats to the next tile: the ring holds whole tiles.
inline int next_tile(int address, int stored_beats) {
  HLS(INLINE)
  const int next = address + kTileBeats + 1 - stored_beats;
  return next == hw::kWeightRingBeats ? 0 : next;
}

inline int next_beat(int address) {
  HLS(INLINE)
  return address + 1 == hw::kWeightRingBeats ? 0 : address + 1;
}
