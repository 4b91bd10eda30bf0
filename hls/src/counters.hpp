// Loop nests as one flat loop: a nest of small loops would drain its pipeline at each turn of an outer loop.
#pragma once

#include "hls_macros.hpp"
#include "instruction.hpp"

// One digit of a mixed-radix counter. `carry` comes in as "the inner loops are through" and leaves as "this one too".
// Compared before it is added: the limits change seldom, so the carry passes a comparison of registers, and no adder.
inline void count(int& counter, int limit, bool& carry) {
  HLS(INLINE)
  if (carry) {
    carry = counter == limit - 1;
    counter = carry ? 0 : counter + 1;
  }
}

// Length of the next piece of what is cut into pieces of `full`: quadruples of a block, output tiles of a pass.
inline int piece(int remaining, int full) {
  HLS(INLINE)
  return remaining < full ? remaining : full;
}

// Quadruples of all frames of the group.
inline int quadruples_of(const Command& c) {
  HLS(INLINE)
  return int(c.instruction.quadruples) * int(c.frames);
}

// The digit of the array passes: the first output tile of the pass, and how many it has.
inline void count_pass(const Instruction& d, int& first_tile, int& pass_tiles, bool& carry) {
  HLS(INLINE)
  if (carry) {
    first_tile += pass_tiles;
    carry = first_tile == int(d.output_tiles);
    if (carry) first_tile = 0;
    pass_tiles = piece(int(d.output_tiles) - first_tile, tiles_of_pass(d));
  }
}
